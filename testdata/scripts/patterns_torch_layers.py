"""Torch patterns: single layers in all their variants. Needs torch."""

import torch
import torch.nn.functional as F
from torch import nn

from patterns_torch import Fn, conv, conv_bn, fn, pattern


def seq(*parts):
    """Return what builds a Sequential: parts are built anew for each."""
    return lambda: nn.Sequential(*(part() for part in parts))


def layer(name, make, *shapes, head=True, cin=3, **options):
    """Add a pattern: a Conv and ReLU, the layer on 4 channels, and a Conv behind it."""
    tail = [lambda: nn.LazyConv2d(3, 3)] if head else []

    def build():
        made = nn.Sequential(conv(cin, 4), nn.ReLU(), make(), *(part() for part in tail))
        made(torch.zeros(2, *(shapes[0] if shapes else (3, 12, 16))))
        return made

    pattern(name, build, *shapes, **options)


# Convolutions.
pattern("conv", seq(conv, nn.ReLU, lambda: conv(4, 3)))
pattern("conv_stride2", seq(lambda: conv(3, 4, 3, stride=2, padding=1), nn.ReLU, lambda: conv(4, 3, 3, stride=(2, 3))))
pattern("conv_group2", seq(lambda: conv(4, 6, groups=2), nn.ReLU), (4, 12, 14))
pattern("conv_depthwise", seq(lambda: conv(3, 6, groups=3), nn.ReLU, lambda: conv(6, 6, 5, groups=6)))
pattern("conv_dilation", seq(lambda: conv(3, 4, 3, dilation=2, padding=2), nn.ReLU, lambda: conv(4, 3, 3, dilation=(3, 2), padding=0)))
pattern("conv_asymmetric", seq(lambda: conv(3, 4, (1, 7), padding=(0, 3)), nn.ReLU, lambda: conv(4, 4, (7, 1), padding=(3, 0))))
pattern("conv_same", seq(lambda: conv(3, 4, 3, padding="same"), nn.ReLU, lambda: conv(4, 3, 4, padding="same")))
pattern("conv_same_dilated", seq(lambda: conv(3, 4, (4, 2), padding="same", dilation=(2, 3)), nn.ReLU))
pattern("conv_reflect", seq(lambda: conv(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU, lambda: conv(4, 3)))
pattern("conv_replicate", seq(lambda: conv(3, 4, 3, padding=(2, 1), padding_mode="replicate"), nn.ReLU, lambda: conv(4, 3)))
pattern("conv_circular", seq(lambda: conv(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU, lambda: conv(4, 3)))
pattern("conv_no_bias_1x1", seq(lambda: conv(3, 8, 1, bias=False), nn.ReLU, lambda: conv(8, 2, 1)))
pattern("conv1d", seq(lambda: nn.Conv1d(3, 4, 5, padding=2), nn.ReLU, lambda: nn.Conv1d(4, 4, 3, stride=2, dilation=2)), (3, 40))
pattern("conv1d_causal", seq(lambda: nn.ConstantPad1d((4, 0), 0.0), lambda: nn.Conv1d(3, 4, 3, dilation=2), nn.ReLU), (3, 30))
pattern("conv3d", seq(lambda: nn.Conv3d(2, 3, 3, padding=1), nn.ReLU, lambda: nn.Conv3d(3, 3, (1, 3, 3), stride=(1, 2, 2))), (2, 4, 8, 8), variants="fb")
pattern("conv_transpose", seq(conv, nn.ReLU, lambda: nn.ConvTranspose2d(4, 3, 2, stride=2)))
pattern("conv_transpose_out_pad", seq(conv, nn.ReLU, lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1)))
pattern("conv_transpose_group", seq(lambda: nn.ConvTranspose2d(4, 4, 3, groups=2, dilation=2)), (4, 8, 9))
pattern("conv_transpose1d", seq(lambda: nn.ConvTranspose1d(3, 4, 4, stride=2, padding=1), nn.ReLU), (3, 20))
pattern("conv_transpose3d", seq(lambda: nn.ConvTranspose3d(2, 2, 2, stride=2), nn.ReLU), (2, 3, 5, 5), variants="fb")
fn("conv_transpose_output_size", lambda m, x: m.up(m.down(x).relu(), output_size=x.shape[2:]),
   parts=lambda: dict(down=conv(3, 4, 3, stride=2, padding=1), up=nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1)))
pattern("conv_weight_norm", seq(lambda: nn.utils.parametrizations.weight_norm(conv()), nn.ReLU, lambda: conv(4, 3)))
pattern("conv_weight_norm_old", seq(lambda: nn.utils.weight_norm(conv()), nn.ReLU), dynamo=False)
pattern("conv_spectral_norm", seq(lambda: nn.utils.parametrizations.spectral_norm(conv()), nn.ReLU, lambda: conv(4, 3)))


class StdConv(nn.Conv2d):
    """A Conv2d with its weights standardised, as Weight Standardization writes it."""

    def forward(self, x):
        """Standardise and convolve."""
        w = self.weight
        w = w - w.mean(dim=(1, 2, 3), keepdim=True)
        w = w / (w.flatten(1).std(dim=1).view(-1, 1, 1, 1) + 1e-5)
        return F.conv2d(x, w, self.bias, self.stride, self.padding, self.dilation, self.groups)


class StdConvBN(nn.Conv2d):
    """A Conv2d with its weights standardised by a batch normalisation, as timm does it."""

    def forward(self, x):
        """Standardise and convolve."""
        w = F.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None, training=True, momentum=0.0, eps=1e-6)
        return F.conv2d(x, w.reshape_as(self.weight), self.bias, self.stride, self.padding, self.dilation, self.groups)


pattern("weight_standardised", seq(lambda: StdConv(3, 4, 3, padding=1), lambda: nn.GroupNorm(2, 4), nn.ReLU, lambda: StdConv(4, 3, 3)))
pattern("weight_standardised_bn", seq(lambda: StdConvBN(3, 4, 3, padding=1), nn.ReLU, lambda: StdConvBN(4, 3, 3)))
fn("conv_weight_scaled", lambda m, x: F.conv2d(x, m.w * m.gain.view(-1, 1, 1, 1), m.b, padding=1).relu(),
   parts=lambda: dict(w=nn.Parameter(torch.randn(4, 3, 3, 3)), gain=nn.Parameter(torch.ones(4)), b=nn.Parameter(torch.zeros(4))))
fn("conv_weight_twice", lambda m, x: F.conv2d(F.conv2d(x, m.w, padding=1).relu(), m.w, padding=1),
   (4, 10, 12), parts=lambda: dict(w=nn.Parameter(torch.randn(4, 4, 3, 3))))
fn("conv_weight_and_transpose", lambda m, x: F.conv_transpose2d(F.conv2d(x, m.w, stride=2).relu(), m.w, stride=2),
   (3, 11, 13), parts=lambda: dict(w=nn.Parameter(torch.randn(4, 3, 3, 3))))
fn("module_twice", lambda m, x: m.c(m.c(x).relu()).relu(), (4, 10, 12), parts=lambda: dict(c=conv_bn(4, 4)))
fn("module_on_two_inputs", lambda m, x, y: torch.cat([m.c(x), m.c(y)], 1).relu(), (3, 10, 12), (3, 10, 12), parts=lambda: dict(c=conv()), variants="fb")
fn("conv_dynamic_weight", lambda m, x: F.conv2d(x, m.w + 0.1 * m.c(x).mean() , padding=1), parts=lambda: dict(c=conv(), w=nn.Parameter(torch.randn(4, 3, 3, 3))))
pattern("half", seq(conv, nn.ReLU, lambda: conv(4, 3)), dtype=torch.float16)
pattern("double", seq(conv_bn, lambda: nn.MaxPool2d(2), lambda: conv(4, 3)), dtype=torch.float64)
fn("half_inside", lambda m, x: F.conv2d(x.half(), m.c.weight.half(), m.c.bias.half(), padding=1).float().relu(), parts=lambda: dict(c=conv()))

# Normalisations and activations.
pattern("bn_first", seq(lambda: nn.BatchNorm2d(3), conv, nn.ReLU))
pattern("bn_after_relu", seq(conv, nn.ReLU, lambda: nn.BatchNorm2d(4), lambda: conv(4, 3)))
pattern("bn_no_affine", seq(conv, lambda: nn.BatchNorm2d(4, affine=False), nn.ReLU))
pattern("bn1d", seq(lambda: nn.Conv1d(3, 4, 3), lambda: nn.BatchNorm1d(4), nn.ReLU), (3, 30))
pattern("bn3d", seq(lambda: nn.Conv3d(2, 3, 3), lambda: nn.BatchNorm3d(3), nn.ReLU), (2, 5, 7, 8), variants="fb")
layer("group_norm", lambda: nn.GroupNorm(2, 4))
layer("group_norm_1", lambda: nn.GroupNorm(1, 4))
layer("instance_norm", lambda: nn.InstanceNorm2d(4, affine=True))
layer("instance_norm_stats", lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True))
layer("layer_norm_last", lambda: nn.LayerNorm(16))
layer("layer_norm_image", lambda: nn.LayerNorm((4, 12, 16)), variants="fb")


def channels_first_norm(m, x):
    """Return ConvNeXt's LayerNorm over channels, with the mean and variance written out."""
    x = m.c(x).relu()
    mean = x.mean(1, keepdim=True)
    var = (x - mean).pow(2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(var + 1e-6)
    return m.d(m.weight[:, None, None] * x + m.bias[:, None, None])


fn("layer_norm_channels_first", channels_first_norm,
   parts=lambda: dict(c=conv(), d=conv(4, 3), weight=nn.Parameter(torch.ones(4)), bias=nn.Parameter(torch.zeros(4))))
fn("layer_norm_permuted", lambda m, x: m.d(m.n(m.c(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
   parts=lambda: dict(c=conv(), d=conv(4, 3), n=nn.LayerNorm(4)))
layer("local_response_norm", lambda: nn.LocalResponseNorm(3))
layer("rms_norm", lambda: nn.RMSNorm(16), torchscript=False)
layer("prelu_channels", lambda: nn.PReLU(4))
layer("prelu_one", lambda: nn.PReLU())
for _name in ("GELU", "SiLU", "Hardswish", "Hardsigmoid", "ReLU6", "Mish", "ELU", "SELU", "CELU", "Softplus", "Softsign",
              "Tanh", "Sigmoid", "LeakyReLU", "Hardtanh", "LogSigmoid", "Hardshrink", "Softshrink", "Tanhshrink", "Identity"):
    layer(f"act_{_name.lower()}", getattr(nn, _name), variants="b" if _name != "GELU" else "fbs")
layer("act_gelu_tanh", lambda: nn.GELU(approximate="tanh"))
layer("act_threshold", lambda: nn.Threshold(0.1, -0.2), variants="b")
layer("act_glu", lambda: nn.GLU(1))
layer("act_softmax2d", nn.Softmax2d)
layer("act_rrelu", nn.RReLU, variants="b", dynamo=False)
layer("dropout", lambda: nn.Dropout2d(0.5))
layer("quick_gelu", lambda: Fn(lambda m, x: x * torch.sigmoid(1.702 * x)))
layer("square_relu", lambda: Fn(lambda m, x: x.relu() ** 2))
layer("maxout", lambda: Fn(lambda m, x: torch.maximum(x[:, :2], x[:, 2:])))
layer("max_min_out", lambda: Fn(lambda m, x: torch.cat([torch.max(x, x.flip(1)), torch.min(x, x.flip(1))], 1)))
layer("clamp", lambda: Fn(lambda m, x: x.clamp(-0.5, 0.7).clamp(min=-0.4).clamp_max(0.6)))
layer("clamp_tensor", lambda: Fn(lambda m, x: torch.clamp(x, m.low, m.high), low=torch.zeros(4, 1, 1) - 0.5, high=torch.ones(4, 1, 1)))

# Pooling.
layer("max_pool", lambda: nn.MaxPool2d(2))
layer("max_pool_padded", lambda: nn.MaxPool2d(3, 2, 1))
layer("max_pool_dilated", lambda: nn.MaxPool2d(3, 1, 1, dilation=2))
layer("max_pool_ceil", lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (3, 13, 14))
fn("max_pool_indices", lambda m, x: m.p(m.c(x)), parts=lambda: dict(c=conv(), p=nn.MaxPool2d(2, return_indices=True)), variants="fb")
fn("max_unpool", lambda m, x: m.d(m.u(*m.p(m.c(x)))), variants="fb",
   parts=lambda: dict(c=conv(), p=nn.MaxPool2d(2, return_indices=True), u=nn.MaxUnpool2d(2), d=conv(4, 3)))
pattern("max_pool1d", seq(lambda: nn.Conv1d(3, 4, 3), lambda: nn.MaxPool1d(3, 2), nn.ReLU), (3, 31))
pattern("max_pool3d", seq(lambda: nn.Conv3d(2, 3, 3), lambda: nn.MaxPool3d((1, 2, 2)), nn.ReLU), (2, 5, 7, 8), variants="fb")
layer("avg_pool", lambda: nn.AvgPool2d(2))
layer("avg_pool_padded", lambda: nn.AvgPool2d(3, 2, 1))
layer("avg_pool_not_counted", lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False))
layer("avg_pool_ceil", lambda: nn.AvgPool2d(3, 2, ceil_mode=True), (3, 12, 14))
layer("avg_pool_ceil_padded", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (3, 12, 14))
layer("avg_pool_ceil_padded_counted", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), (3, 12, 14))
layer("avg_pool_divisor", lambda: nn.AvgPool2d(2, divisor_override=3), variants="fb")
pattern("avg_pool1d", seq(lambda: nn.Conv1d(3, 4, 3), nn.ReLU, lambda: nn.AvgPool1d(4, 2, 1)), (3, 31))
pattern("avg_pool3d", seq(lambda: nn.Conv3d(2, 3, 3), nn.ReLU, lambda: nn.AvgPool3d(2)), (2, 5, 7, 8), variants="fb")
layer("adaptive_avg_1", lambda: nn.AdaptiveAvgPool2d(1), head=False)
layer("adaptive_avg_divides", lambda: nn.AdaptiveAvgPool2d((3, 4)))
layer("adaptive_avg_odd", lambda: nn.AdaptiveAvgPool2d((5, 7)), variants="fb")
layer("adaptive_avg_grows", lambda: nn.AdaptiveAvgPool2d((14, 20)), variants="fb")
layer("adaptive_avg_none", lambda: nn.AdaptiveAvgPool2d((None, 1)), head=False, swap=False)
layer("adaptive_max_1", lambda: nn.AdaptiveMaxPool2d(1), head=False)
layer("adaptive_max_odd", lambda: nn.AdaptiveMaxPool2d((5, 7)), variants="fb")
layer("lp_pool", lambda: nn.LPPool2d(2, 2))
layer("gem_pool", lambda: Fn(lambda m, x: F.avg_pool2d(x.clamp(min=1e-6).pow(m.kept_p), 2).pow(1.0 / m.kept_p), kept_p=torch.tensor(3.0)))
layer("blur_pool", lambda: Fn(lambda m, x: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), m.kept_k.repeat(4, 1, 1, 1), stride=2, groups=4),
                              kept_k=torch.tensor([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16))
layer("blur_pool_channels", lambda: Fn(lambda m, x: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), m.kept_k.expand(x.shape[1], 1, 3, 3), stride=2, groups=x.shape[1]),
                                       kept_k=torch.tensor([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16))
fn("mean_std_pool", lambda m, x: torch.cat([m.c(x).mean((2, 3)), m.c(x).std((2, 3))], 1), parts=lambda: dict(c=conv()))
