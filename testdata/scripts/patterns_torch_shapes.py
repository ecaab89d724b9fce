"""Torch patterns: shapes, padding, resizing, cutting and joining. Needs torch."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from patterns_torch import conv, conv_bn, fn, pattern


def two(function, **options):
    """Return the arguments of a pattern: a Conv and ReLU, the function, a Conv on what it gives."""
    shape = options.pop("shape", (3, 12, 16))
    after = options.pop("after", 4)  # channels that the function gives
    return (lambda m, x: m.tail(function(m.head(x).relu())), shape), dict(
        parts=lambda: dict(head=conv(shape[0], 4), tail=conv(after, 3)), **options
    )


def between(name, function, **options):
    """Add a pattern with the function between two convolutions."""
    args, options = two(function, **options)
    fn(name, *args, **options)


# Padding.
for _mode in ("constant", "reflect", "replicate", "circular"):
    between(f"pad_{_mode}", lambda x, mode=_mode: F.pad(x, (1, 2, 3, 0), mode=mode))
between("pad_value", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5))
between("pad_negative", lambda x: F.pad(x, (-1, 2, 1, -3)))
between("pad_channels", lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)), after=7)
between("pad_zero", lambda x: F.pad(x, (0, 0, 0, 0)))
between("pad_minus_inf_max_pool", lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2))
between("pad_avg_pool", lambda x: F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2))
pattern("zero_pad_conv", lambda: nn.Sequential(nn.ZeroPad2d(1), conv(3, 4, 3, padding=0), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), conv(4, 3, 3, stride=2)))
pattern("zero_pad_crops", lambda: nn.Sequential(nn.ZeroPad2d(-1), conv(3, 4), nn.ReLU()))
between("pad_to_multiple", lambda x: F.pad(x, (0, (8 - x.shape[3] % 8) % 8, 0, (8 - x.shape[2] % 8) % 8)), shape=(3, 13, 14))


def pad_and_crop(m, x):
    """Pad to a multiple of eight on both sides, convolve, and crop back."""
    h, w = x.shape[2:]
    bottom, right = -h % 8, -w % 8
    y = m.c(F.pad(x, (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2), mode="reflect")).relu()
    return m.d(y[:, :, bottom // 2 : bottom // 2 + h, right // 2 : right // 2 + w])


fn("pad_and_crop", pad_and_crop, (3, 13, 14), parts=lambda: dict(c=conv(), d=conv(4, 3)))


class SameConv(nn.Conv2d):
    """A Conv2d that pads as TensorFlow does, with pads from the input's shape (EfficientNet, timm)."""

    def forward(self, x):
        """Pad and convolve."""
        pads = []
        for axis in (3, 2):
            k, s, d = self.kernel_size[axis - 2], self.stride[axis - 2], self.dilation[axis - 2]
            total = max((math.ceil(x.shape[axis] / s) - 1) * s + (k - 1) * d + 1 - x.shape[axis], 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class SameConvSymbolic(nn.Conv2d):
    """As SameConv, with arithmetic that stays in the graph where the size is symbolic."""

    def forward(self, x):
        """Pad and convolve."""
        pads = []
        for axis in (3, 2):
            k, s = self.kernel_size[axis - 2], self.stride[axis - 2]
            size = x.shape[axis]
            total = (-(-size // s) - 1) * s + k - size
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


pattern("same_tf", lambda: nn.Sequential(SameConv(3, 4, 3, 2), nn.ReLU(), SameConv(4, 4, 5, 2, groups=4), SameConv(4, 3, 1)), (3, 13, 14))
pattern("same_tf_symbolic", lambda: nn.Sequential(SameConvSymbolic(3, 4, 3, 2), nn.ReLU(), SameConvSymbolic(4, 3, 5, 2)), (3, 13, 14))

# Resizing.
for _mode in ("nearest", "bilinear", "bicubic", "area", "nearest-exact"):
    _script = _mode not in ("nearest-exact",)
    between(f"resize_x2_{_mode}", lambda x, mode=_mode: F.interpolate(x, scale_factor=2, mode=mode), shape=(3, 8, 10), torchscript=_script)
    between(f"resize_size_{_mode}", lambda x, mode=_mode: F.interpolate(x, size=(9, 13), mode=mode), variants="fb", torchscript=_script)
    fn(f"resize_like_{_mode}", lambda m, x, mode=_mode: m.t(F.interpolate(m.d(m.c(x).relu()), size=x.shape[2:], mode=mode)), torchscript=_script,
       parts=lambda: dict(c=conv(), d=conv(4, 4, 3, stride=2, padding=1), t=conv(4, 3)))
between("resize_align_corners", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True), shape=(3, 8, 10))
between("resize_align_like", lambda x: F.interpolate(F.max_pool2d(x, 2), size=x.shape[-2:], mode="bilinear", align_corners=True))
between("resize_fraction", lambda x: F.interpolate(x, scale_factor=(1.5, 0.5), mode="bilinear", recompute_scale_factor=False))
between("resize_recomputed", lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True))
between("resize_half_of_shape", lambda x: F.interpolate(x, size=(x.shape[2] // 2, x.shape[3] // 2), mode="nearest"))
between("resize_antialias", lambda x: F.interpolate(x, size=(6, 8), mode="bilinear", antialias=True), variants="fb")
pattern("resize_1d", lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Upsample(scale_factor=2, mode="linear"), nn.Conv1d(4, 3, 3)), (3, 20))
pattern("resize_3d", lambda: nn.Sequential(nn.Conv3d(2, 3, 3), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv3d(3, 2, 3)), (2, 4, 6, 6), variants="fb")
fn("resize_like_second_input", lambda m, x, y: F.interpolate(m.c(x), size=y.shape[2:], mode="bilinear") + m.d(y), (3, 6, 8), (3, 12, 16), variants="fb",
   parts=lambda: dict(c=conv(), d=conv()))
fn("resize_output_like_input", lambda m, x: F.interpolate(m.c(F.avg_pool2d(x, 4)), x.shape[2:], mode="bilinear"), parts=lambda: dict(c=conv()))

# Cutting, joining and moving.
between("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), after=1)
between("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), after=16)
between("channel_shuffle", lambda x: F.channel_shuffle(x, 2), torchscript=False)


def shuffle(x):
    """Shuffle the channels of two groups, as ShuffleNet writes it."""
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


between("channel_shuffle_view", shuffle)
between("chunk_swap", lambda x: torch.cat(x.chunk(2, 1)[::-1], 1))
between("split_uneven", lambda x: torch.cat([x.split([1, 3], 1)[1], x], 1), after=7)
between("split_height", lambda x: torch.cat(x.split([5, 7], 2)[::-1], 2), variants="fb")
between("cat_width", lambda x: torch.cat([x, x.flip(3)], 3))
between("cat_negative_axis", lambda x: torch.cat([x, -x], -1))
between("cat_height_after_conv", lambda x: torch.cat([x, x * 0.5], -2))
between("stack_sum", lambda x: torch.stack([x, x.flip(1)], 2).sum(2))
between("stack_flatten", lambda x: torch.stack([x, -x], 2).flatten(1, 2), after=8)
between("stack_last", lambda x: torch.stack([x, -x], -1).flatten(3))
between("unbind", lambda x: torch.stack(x.unbind(1)[::-1], 1))
between("roll", lambda x: torch.roll(x, (2, -3), (2, 3)))
between("roll_channels", lambda x: torch.roll(x, 1, 1))
between("flip", lambda x: x.flip(2, 3))
between("slice_step", lambda x: x[:, ::2, 1:-1, ::3], after=2)
between("slice_negative", lambda x: x[:, -3:, -8:-1], after=3)
between("slice_to_shape", lambda x: x[:, :, : x.shape[2] // 2, 1 : x.shape[3] - 1])
between("space_to_depth", lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1), after=16)
between("index_select", lambda x: x[:, [2, 0, 3, 1]])
between("index_pairs", lambda x: x[:, [0, 1, 2, 3, 3, 2, 1, 0]].view(x.shape[0], 4, 2, *x.shape[2:]).mean(2))
between("narrow", lambda x: x.narrow(2, 1, 9).narrow(1, 1, 2), after=2)
between("repeat", lambda x: x.repeat(1, 2, 1, 2), after=8)
between("repeat_interleave", lambda x: x.repeat_interleave(2, 1), after=8)
between("expand", lambda x: x.mean(3, keepdim=True).expand(-1, -1, -1, x.shape[3]) + x)
between("expand_as", lambda x: x.mean((2, 3), keepdim=True).expand_as(x) + x)
between("tile_channel", lambda x: x[:, :1].expand(-1, 4, -1, -1) * x)
between("permute", lambda x: x.permute(0, 1, 3, 2))
between("permute_channels_last", lambda x: (x.permute(0, 2, 3, 1) * 2 + 1).permute(0, 3, 1, 2))
between("transpose_channel_height", lambda x: x.transpose(1, 2)[:, :4].transpose(2, 3))
between("movedim", lambda x: x.movedim(1, -1).relu().movedim(-1, 1))
between("squeeze", lambda x: x.mean(1, keepdim=True).squeeze(1).unsqueeze(1) + x)
between("squeeze_height", lambda x: F.avg_pool2d(x, (12, 1)).squeeze(2).unsqueeze(2) + x, variants="fb")
between("view_patches", lambda x: x.view(x.shape[0], 4, x.shape[2] // 2, 2, x.shape[3] // 2, 2).amax((3, 5)))
between("reshape_fixed_batch", lambda x: x.reshape(1, 4, -1).relu().reshape(1, 4, 12, 16), variants="f")
between("unflatten", lambda x: x.unflatten(1, (2, 2)).mean(1), after=2)
between("unfold_patches", lambda x: x.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)), variants="fb")
between("im2col", lambda x: F.unfold(x, 3, padding=1).view(x.shape[0], 36, x.shape[2], x.shape[3]), after=36, variants="fb")
between("fold", lambda x: F.fold(F.unfold(x, 2, stride=2), (12, 16), 2, stride=2), variants="fb")
between("cumsum", lambda x: x.cumsum(3))
between("cumsum_channels", lambda x: x.cumsum(1))
between("norm", lambda x: F.normalize(x, dim=1))
between("norm_all", lambda x: x / (x.flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1))
between("mask_triangle", lambda x: x * torch.tril(torch.ones(12, 16)), variants="fb")
between("mask_from_shape", lambda x: x * torch.tril(torch.ones(x.shape[2], x.shape[3])))
between("mask_fill", lambda x: x.masked_fill(x > 0.5, 0.5))
between("where_constant", lambda x: torch.where(torch.arange(x.shape[3]) % 2 == 0, x, -x))
between("where_computed", lambda x: torch.where(x > x.mean(), x, 0.1 * x))
between("grid_sample", lambda x: F.grid_sample(x, F.affine_grid(torch.tensor([[[0.9, 0.1, 0], [0.0, 0.8, 0.1]]]).expand(x.shape[0], 2, 3), list(x.shape), align_corners=False), align_corners=False), variants="fb")
between("zeros_like_cat", lambda x: torch.cat([x, torch.zeros_like(x)], 1), after=8)
between("new_zeros_state", lambda x: x + x.new_zeros(x.shape[0], 4, 1, 1))
between("batch_constant", lambda x: torch.cat([x, torch.ones(x.shape[0], 1, x.shape[2], x.shape[3])], 1), after=5)
between("batch_token", lambda x: torch.cat([torch.full((x.shape[0], 4, 1, x.shape[3]), 0.3), x], 2))
between("option_a", lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)), after=8)
between("double_branch_add", lambda x: x + x)
between("flatten_back", lambda x: x.flatten(2).view(x.shape))
between("flatten_linear_back", lambda x: F.layer_norm(x.flatten(2), (192,)).view_as(x), variants="fb")
between("scatter", lambda x: torch.zeros_like(x).index_copy(1, torch.tensor([3, 1, 0, 2]), x), variants="fb")
between("assign_slice", lambda x: assign(x))


def assign(x):
    """Overwrite a part of x in place."""
    y = x.clone()
    y[:, :1, 1:-1] = 0.25
    y[:, 2:, ::2] *= 2.0
    return y


def coordinates(m, x):
    """Append coordinates in -1 … 1 to the channels (CoordConv)."""
    b, _, h, w = x.shape
    ys = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(b, 1, h, w)
    xs = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(b, 1, h, w)
    return m.c(torch.cat([x, ys, xs], 1)).relu()


fn("coord_conv", coordinates, parts=lambda: dict(c=conv(5, 4)))


def grid(m, x):
    """Return boxes from anchors on a grid that arange and meshgrid make of the shape."""
    y = m.d(m.c(x).relu())
    h, w = y.shape[2:]
    gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cells = torch.stack([gx, gy], -1).reshape(1, h * w, 2).to(y.dtype)
    flat = y.flatten(2).permute(0, 2, 1)
    return torch.cat([(flat[..., :2].sigmoid() + cells) * 2.0, flat[..., 2:4].exp()], -1)


fn("anchor_grid", grid, parts=lambda: dict(c=conv(3, 4, 3, stride=2, padding=1), d=conv(4, 4, 1)))


def center_grid(m, x):
    """Return the image plus position embeddings of half-pixel centres."""
    y = m.c(x)
    xs = (torch.arange(y.shape[3], dtype=torch.float32) + 0.5) / y.shape[3]
    ys = (torch.arange(y.shape[2], dtype=torch.float32) + 0.5) / y.shape[2]
    return m.d(y * torch.sin(xs)[None, None, None] + ys[None, None, :, None].cos())


fn("sine_positions", center_grid, parts=lambda: dict(c=conv(), d=conv(4, 3)))

# Inputs and outputs.
fn("view_minus_one", lambda m, x: m.f(F.max_pool2d(m.c(x).relu(), 2).view(x.size(0), -1)), variants="fb", parts=lambda: dict(c=conv(), f=nn.Linear(192, 5)))
fn("view_channels", lambda m, x: m.f(m.c(x).relu().view(-1, 4 * 12 * 16)), variants="fb", parts=lambda: dict(c=conv(), f=nn.Linear(768, 5)))
fn("flatten_all_bias_less", lambda m, x: m.f(m.c(x).relu().flatten(1)), variants="fb", parts=lambda: dict(c=conv(), f=nn.Linear(768, 5, bias=False)))
fn("linear_on_width", lambda m, x: m.f(m.c(x).relu()), variants="fb", parts=lambda: dict(c=conv(), f=nn.Linear(16, 5)))
fn("linear_per_pixel", lambda m, x: m.f(m.c(x).relu().permute(0, 2, 3, 1)).permute(0, 3, 1, 2), parts=lambda: dict(c=conv(), f=nn.Linear(4, 5)))
fn("linear_per_token", lambda m, x: m.f(m.c(x).flatten(2).transpose(1, 2)).mean(1), parts=lambda: dict(c=conv(), f=nn.Linear(4, 5)))
fn("outputs_two_heads", lambda m, x: (m.a(m.c(x)), m.b(m.c(x)).mean((2, 3))), parts=lambda: dict(c=conv_bn(), a=conv(4, 2), b=conv(4, 3)))
fn("outputs_intermediate", lambda m, x: (m.b(m.a(x)), m.a(x)), parts=lambda: dict(a=conv_bn(), b=conv(4, 3)))
fn("outputs_input", lambda m, x: (m.a(x).relu(), x), parts=lambda: dict(a=conv()))
fn("outputs_reshaped_input", lambda m, x: (m.a(x).relu(), x.flatten(1)), parts=lambda: dict(a=conv()))
fn("outputs_linear_chain", lambda m, x: (m.b(m.a(x)), m.a(x) * 2), parts=lambda: dict(a=conv(), b=conv(4, 3)))
fn("outputs_shape", lambda m, x: (m.a(x), torch.tensor(x.shape[2]) if not torch.jit.is_tracing() else x.shape[2]), dynamo=False, parts=lambda: dict(a=conv()))
fn("output_constant", lambda m, x: (m.a(x), m.k + 1.0), parts=lambda: dict(a=conv(), k=torch.randn(3)))
fn("outputs_argmax", lambda m, x: (m.a(x), m.a(x).argmax(1)), parts=lambda: dict(a=conv()))
fn("output_argmax_only", lambda m, x: m.a(x).relu().argmax(1), parts=lambda: dict(a=conv()))
fn("outputs_topk", lambda m, x: m.a(x).flatten(1).topk(5), variants="fb", parts=lambda: dict(a=conv()))
fn("outputs_topk_gather", lambda m, x: pick(m.a(x)), variants="fb", parts=lambda: dict(a=conv()))
fn("outputs_sort", lambda m, x: m.a(x).mean((2, 3)).sort(1), variants="fb", parts=lambda: dict(a=conv()))
fn("outputs_bool", lambda m, x: (m.a(x), m.a(x) > 0.1), parts=lambda: dict(a=conv()))
fn("outputs_max_dim", lambda m, x: m.a(x).max(1), parts=lambda: dict(a=conv()))
fn("outputs_softmax_heads", lambda m, x: (m.a(x).softmax(1), m.a(x).mean((2, 3)).log_softmax(-1)), parts=lambda: dict(a=conv()))
fn("outputs_count", lambda m, x: (m.a(x), (m.a(x) > 0).sum((2, 3))), parts=lambda: dict(a=conv()))
fn("outputs_round", lambda m, x: (m.a(x) * 4).round() / 4, parts=lambda: dict(a=conv()))
fn("outputs_uint8", lambda m, x: (m.a(x).sigmoid() * 255).to(torch.uint8), parts=lambda: dict(a=conv()))
fn("inputs_two_images", lambda m, x, y: m.c(torch.cat([m.a(x), m.b(y)], 1).relu()), (3, 10, 12), (1, 10, 12), variants="fb", parts=lambda: dict(a=conv(), b=conv(1, 2), c=conv(6, 3)))
fn("inputs_siamese", lambda m, x, y: F.cosine_similarity(m.c(x).flatten(1), m.c(y).flatten(1)), (3, 10, 12), (3, 10, 12), variants="fb", parts=lambda: dict(c=conv_bn()))
fn("inputs_vector", lambda m, x, v: m.c(x) * m.f(v)[:, :, None, None], (3, 10, 12), (6,), variants="fb", parts=lambda: dict(c=conv(), f=nn.Linear(6, 4)))
fn("inputs_film", lambda m, x, v: m.d((m.c(x) * m.f(v).chunk(2, 1)[0][..., None, None] + m.f(v).chunk(2, 1)[1][..., None, None]).relu()), (3, 10, 12), (6,), variants="fb", parts=lambda: dict(c=conv(), d=conv(4, 3), f=nn.Linear(6, 8)))
fn("inputs_class", lambda m, x, k: m.d((m.c(x) + m.e(k)[:, :, None, None]).relu()), (3, 10, 12), (), variants="fb", integers=7, parts=lambda: dict(c=conv(), d=conv(4, 3), e=nn.Embedding(7, 4)))
fn("inputs_tokens", lambda m, k: m.c(m.e(k).transpose(1, 2)).relu().amax(2), (15,), variants="fb", integers=11, parts=lambda: dict(e=nn.Embedding(11, 4), c=nn.Conv1d(4, 5, 3)))
fn("inputs_mask", lambda m, x, y: m.d(m.c(x).masked_fill((y > 0.0).expand(-1, 4, -1, -1), 0.0)), (3, 10, 12), (1, 10, 12), variants="fb", parts=lambda: dict(c=conv(), d=conv(4, 3)))
fn("input_unused", lambda m, x, y: m.c(x).relu(), (3, 10, 12), (4,), variants="fb", parts=lambda: dict(c=conv()))
fn("input_only_shape", lambda m, x, y: F.interpolate(m.c(x), size=y.shape[1:]), (3, 10, 12), (20, 24), variants="fb", parts=lambda: dict(c=conv()))
fn("input_scaled", lambda m, x: m.c((x / 255.0 - m.kept_mean) / m.kept_std), parts=lambda: dict(c=conv(), kept_mean=torch.tensor([0.4, 0.5, 0.3]).view(3, 1, 1), kept_std=torch.tensor([0.2, 0.25, 0.22]).view(3, 1, 1)))
fn("input_grey", lambda m, x: m.c(x.repeat(1, 3, 1, 1)), (1, 10, 12), parts=lambda: dict(c=conv()))
fn("input_grey_expand", lambda m, x: m.c(x.expand(-1, 3, -1, -1)), (1, 10, 12), parts=lambda: dict(c=conv()))
fn("input_channels_last", lambda m, x: m.c(x.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1), (10, 12, 3), variants="fb", parts=lambda: dict(c=conv()))
fn("input_no_channel", lambda m, x: m.c(x.unsqueeze(1)).relu(), (10, 12), variants="fb", parts=lambda: dict(c=conv(1)))
fn("input_frames", lambda m, x: m.c(x.flatten(0, 1)).relu().unflatten(0, (-1, 3)).mean(1), (3, 3, 8, 9), variants="fb", parts=lambda: dict(c=conv()))
fn("input_uint8", lambda m, x: m.c(x.to(torch.float32) / 255.0).relu(), variants="fb", integers=256, parts=lambda: dict(c=conv()))


def pick(y):
    """Return the features at the five largest scores."""
    index = y[:, 0].flatten(1).topk(5).indices
    return y.flatten(2).gather(2, index.unsqueeze(1).expand(-1, y.shape[1], -1))
