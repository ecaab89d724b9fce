"""Torch patterns: blocks and heads of well-known networks, made small. Needs torch."""

import torch
import torch.nn.functional as F
from torch import nn

from patterns_torch import Fn, conv, conv_bn, fn, pattern


def pool_fc(channels, classes=5):
    """Return global pooling, Flatten and Linear."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


# Attention on channels and positions.
fn("se_block", lambda m, x: (lambda y: y * m.e(m.r(y.mean((2, 3), keepdim=True)).relu()).sigmoid())(m.c(x)),
   parts=lambda: dict(c=conv_bn(3, 8), r=conv(8, 2, 1), e=conv(2, 8, 1)))
fn("se_block_linear", lambda m, x: (lambda y: y * m.e(F.adaptive_avg_pool2d(y, 1).view(y.size(0), 8)).view(y.size(0), 8, 1, 1).expand_as(y))(m.c(x)),
   parts=lambda: dict(c=conv_bn(3, 8), e=nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8), nn.Sigmoid())))
fn("eca_block", lambda m, x: (lambda y: y * m.e(y.mean((2, 3)).unsqueeze(1)).sigmoid().view(y.shape[0], -1, 1, 1))(m.c(x)),
   parts=lambda: dict(c=conv_bn(3, 8), e=nn.Conv1d(1, 1, 3, padding=1, bias=False)))


def cbam(m, x):
    """Apply channel attention, then spatial attention."""
    y = m.c(x)
    a = m.mlp(F.adaptive_avg_pool2d(y, 1)) + m.mlp(F.adaptive_max_pool2d(y, 1))
    y = y * a.sigmoid()
    s = torch.cat([y.mean(1, keepdim=True), y.max(1, keepdim=True)[0]], 1)
    return y * m.s(s).sigmoid()


fn("cbam", cbam, parts=lambda: dict(c=conv_bn(3, 8), mlp=nn.Sequential(conv(8, 2, 1), nn.ReLU(), conv(2, 8, 1)), s=conv(2, 1, 7)))


def coordinate_attention(m, x):
    """Apply attention along height and width (CoordAttention)."""
    y = m.c(x)
    h, w = y.shape[2:]
    rows, columns = y.mean(3, keepdim=True), y.mean(2, keepdim=True).permute(0, 1, 3, 2)
    joined = m.j(torch.cat([rows, columns], 2))
    rows, columns = joined.split([h, w], 2)
    return y * m.a(rows).sigmoid() * m.b(columns.permute(0, 1, 3, 2)).sigmoid()


fn("coordinate_attention", coordinate_attention, parts=lambda: dict(c=conv_bn(), j=conv_bn(4, 2, 1), a=conv(2, 4, 1), b=conv(2, 4, 1)))


def non_local(m, x):
    """Apply self attention over positions (non-local block)."""
    y = m.c(x)
    b, c, h, w = y.shape
    q, k, v = (p(y).view(b, -1, h * w) for p in (m.q, m.k, m.v))
    attention = torch.softmax(q.transpose(1, 2) @ k, -1)
    return y + (v @ attention.transpose(1, 2)).view(b, c, h, w)


fn("non_local", non_local, (3, 8, 9), parts=lambda: dict(c=conv_bn(), q=conv(4, 2, 1), k=conv(4, 2, 1), v=conv(4, 4, 1)))
fn("multihead", lambda m, x: (lambda t: m.f(t + m.a(t, t, t, need_weights=False)[0]).mean(1))(m.c(x).flatten(2).transpose(1, 2)), (3, 12, 12), variants="fb",
   parts=lambda: dict(c=nn.Conv2d(3, 8, 4, 4), a=nn.MultiheadAttention(8, 2, batch_first=True), f=nn.Linear(8, 5)))


def attention(m, x):
    """Apply self attention with one product for query, key and value, on patches."""
    t = m.c(x).flatten(2).transpose(1, 2)
    b, n, c = t.shape
    q, k, v = m.qkv(t).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
    o = F.scaled_dot_product_attention(q, k, v)
    return m.f(o.transpose(1, 2).reshape(b, n, c)).mean(1)


fn("attention_qkv", attention, (3, 12, 12), parts=lambda: dict(c=nn.Conv2d(3, 8, 4, 4), qkv=nn.Linear(8, 24), f=nn.Linear(8, 5)))
fn("einsum_pixels", lambda m, x: torch.einsum("bchw,oc->bohw", m.c(x).relu(), m.w), parts=lambda: dict(c=conv(), w=nn.Parameter(torch.randn(5, 4))))
fn("einsum_gram", lambda m, x: torch.einsum("bchw,bdhw->bcd", m.c(x), m.c(x)) / (x.shape[2] * x.shape[3]), parts=lambda: dict(c=conv()))


class ViT(nn.Module):
    """A small ViT: patches, class token, position embedding, one block."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.position = nn.Parameter(torch.zeros(1, 10, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        """Return the class token's scores."""
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(t.shape[0], -1, -1), t], 1) + self.position
        return self.head(self.block(t)[:, 0])


pattern("vit", ViT, (3, 12, 12), variants="fb")


def mixer(m, x):
    """Apply one block of MLP-Mixer."""
    t = m.p(x).flatten(2).transpose(1, 2)
    t = t + m.tokens(m.n1(t).transpose(1, 2)).transpose(1, 2)
    t = t + m.channels(m.n2(t))
    return m.f(t.mean(1))


fn("mlp_mixer", mixer, (3, 12, 12), variants="fb", parts=lambda: dict(
    p=nn.Conv2d(3, 6, 4, 4), n1=nn.LayerNorm(6), n2=nn.LayerNorm(6), f=nn.Linear(6, 5),
    tokens=nn.Sequential(nn.Linear(9, 7), nn.GELU(), nn.Linear(7, 9)), channels=nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6))))
fn("convnext", lambda m, x: m.s(x) + m.g * m.b(m.n(m.dw(m.s(x)).permute(0, 2, 3, 1))).permute(0, 3, 1, 2), (3, 12, 16), parts=lambda: dict(
    s=nn.Conv2d(3, 4, 2, 2), dw=conv(4, 4, 7, groups=4), n=nn.LayerNorm(4), b=nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4)), g=nn.Parameter(torch.ones(4, 1, 1))))
fn("convmixer", lambda m, x: m.f(m.b(m.s(x)) + m.s(x)), parts=lambda: dict(
    s=nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.GELU(), nn.BatchNorm2d(6)), b=nn.Sequential(conv(6, 6, 3, groups=6, padding="same"), nn.GELU(), nn.BatchNorm2d(6)), f=pool_fc(6)))
fn("poolformer", lambda m, x: (lambda y: y + m.scale.view(-1, 1, 1) * (F.avg_pool2d(m.n(y), 3, 1, 1, count_include_pad=False) - m.n(y)))(m.s(x)),
   parts=lambda: dict(s=nn.Conv2d(3, 4, 3, 2, 1), n=nn.GroupNorm(1, 4), scale=nn.Parameter(torch.ones(4))))

# Residual and branching blocks.
fn("resnet_basic", lambda m, x: m.f((m.b(m.a(m.s(x))) + m.d(m.s(x))).relu()), parts=lambda: dict(
    s=conv_bn(), a=conv_bn(4, 6, stride=2), b=conv_bn(6, 6, act=None), d=conv_bn(4, 6, 1, act=None, stride=2), f=pool_fc(6)))
fn("resnet_bottleneck", lambda m, x: (m.b(m.s(x)) + m.s(x)).relu(), parts=lambda: dict(s=conv_bn(3, 8), b=nn.Sequential(conv_bn(8, 4, 1), conv_bn(4, 4), conv_bn(4, 8, 1, act=None))))
fn("resnet_preact", lambda m, x: (lambda y: y + m.b(m.n(y).relu()))(m.s(x)), parts=lambda: dict(s=conv(), n=nn.BatchNorm2d(4), b=nn.Sequential(conv(4, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 4))))
fn("resnet_avg_down", lambda m, x: m.b(x) + m.d(x), parts=lambda: dict(b=conv_bn(stride=2), d=nn.Sequential(nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False), conv(3, 4, 1))))
fn("resnext_split", lambda m, x: (m.a(x) + m.b(x)).relu(), parts=lambda: dict(a=conv_bn(3, 8, 1), b=nn.Sequential(conv_bn(3, 4, 1), nn.Conv2d(4, 8, 3, padding=1, groups=4))))
fn("res2net", lambda m, x: split_sum(m, m.s(x)), parts=lambda: dict(s=conv_bn(3, 8, 1), a=conv_bn(2, 2), b=conv_bn(2, 2), c=conv_bn(2, 2)))


def split_sum(m, x):
    """Apply Res2Net's chain over chunks of the channels."""
    p = x.chunk(4, 1)
    out = [p[0]]
    for part, layer in zip(p[1:], (m.a, m.b, m.c)):
        out.append(layer(part + out[-1]))
    return torch.cat(out, 1)


fn("res_scale", lambda m, x: x + 0.1 * m.c(x) * m.k, parts=lambda: dict(c=conv(3, 3), k=nn.Parameter(torch.ones(1, 3, 1, 1))))
fn("inception", lambda m, x: torch.cat([m.a(x), m.b(x), m.c(x), m.d(F.max_pool2d(x, 3, 1, 1))], 1), parts=lambda: dict(
    a=conv_bn(3, 2, 1), b=nn.Sequential(conv_bn(3, 2, 1), conv_bn(2, 3)), c=nn.Sequential(conv_bn(3, 2, 1), conv_bn(2, 2, 5)), d=conv_bn(3, 2, 1)))
fn("dense_block", lambda m, x: (lambda y: torch.cat([y, m.b(y)], 1))(torch.cat([x, m.a(x)], 1)), parts=lambda: dict(
    a=nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv(3, 3)), b=nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), conv(6, 3))))
fn("shufflenet", lambda m, x: (lambda y: torch.cat([y[:, :4], m.b(y[:, 4:])], 1).view(y.shape[0], 2, 4, *y.shape[2:]).transpose(1, 2).reshape(y.shape))(m.s(x)),
   parts=lambda: dict(s=conv_bn(3, 8, stride=2), b=nn.Sequential(conv_bn(4, 4, 1), conv_bn(4, 4, act=None, groups=4), conv_bn(4, 4, 1))))
fn("mobilenet_v2", lambda m, x: (lambda y: y + m.b(y))(m.s(x)), parts=lambda: dict(s=conv_bn(act=nn.ReLU6, stride=2), b=nn.Sequential(
    conv_bn(4, 8, 1, nn.ReLU6), conv_bn(8, 8, 3, nn.ReLU6, groups=8), conv_bn(8, 4, 1, None))))
fn("mobilenet_v3", lambda m, x: (lambda y: m.p(y * m.se(y)))(m.s(x)), parts=lambda: dict(s=conv_bn(3, 8, act=nn.Hardswish, stride=2), p=conv_bn(8, 4, 1, None),
    se=nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(8, 4, 1), nn.ReLU(), conv(4, 8, 1), nn.Hardsigmoid())))
fn("ghost", lambda m, x: (lambda y: torch.cat([y, m.g(y)], 1)[:, :7])(m.p(x)), parts=lambda: dict(p=conv_bn(3, 4, 1), g=conv_bn(4, 4, groups=4)))
fn("repvgg", lambda m, x: (lambda y: (m.a(y) + m.b(y) + m.c(y)).relu())(m.s(x)), parts=lambda: dict(s=conv_bn(), a=conv_bn(4, 4, act=None), b=conv_bn(4, 4, 1, act=None), c=nn.BatchNorm2d(4)))
fn("squeezenet_fire", lambda m, x: torch.cat([m.a(m.s(x)).relu(), m.b(m.s(x)).relu()], 1), parts=lambda: dict(s=conv_bn(3, 2, 1), a=conv(2, 4, 1), b=conv(2, 4)))
fn("csp", lambda m, x: (lambda y: m.t(torch.cat([m.b(y.chunk(2, 1)[0]), y.chunk(2, 1)[1]], 1)))(m.s(x)), parts=lambda: dict(s=conv_bn(3, 8, act=nn.SiLU), b=conv_bn(4, 4, act=nn.SiLU), t=conv_bn(8, 4, 1, nn.SiLU)))
fn("c2f", lambda m, x: (lambda p: m.t(torch.cat([*p, m.b(p[1])], 1)))(m.s(x).split((4, 4), 1)), parts=lambda: dict(s=conv_bn(3, 8, 1, nn.SiLU), b=conv_bn(4, 4, act=nn.SiLU), t=conv_bn(12, 4, 1, nn.SiLU)))
fn("focus", lambda m, x: m.c(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)), parts=lambda: dict(c=conv_bn(12, 4)))
fn("sppf", lambda m, x: (lambda a: (lambda b: m.c(torch.cat([a, b, m.p(b), m.p(m.p(b))], 1)))(m.p(a)))(m.s(x)), parts=lambda: dict(s=conv_bn(), p=nn.MaxPool2d(5, 1, 2), c=conv_bn(16, 4, 1)))
fn("involution_like", lambda m, x: (lambda y: y * m.k(y).softmax(1).sum(1, keepdim=True))(m.s(x)), parts=lambda: dict(s=conv_bn(), k=conv(4, 9, 1)))
fn("dynamic_filter", lambda m, x: (m.k(x).softmax(1).unsqueeze(1) * F.unfold(x, 3, padding=1).view(x.shape[0], 3, 9, x.shape[2], x.shape[3])).sum(2), variants="fb", parts=lambda: dict(k=conv(3, 9)))
fn("mixture", lambda m, x: (lambda g: g[:, 0].view(-1, 1, 1, 1) * m.a(x) + g[:, 1].view(-1, 1, 1, 1) * m.b(x))(m.g(x.mean((2, 3))).softmax(1)), parts=lambda: dict(g=nn.Linear(3, 2), a=conv(), b=conv()))
pattern("lenet", lambda: nn.Sequential(conv(3, 4, 5, padding=0), nn.ReLU(), nn.MaxPool2d(2), conv(4, 6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 5), nn.LogSoftmax(1)), variants="fb")
pattern("vgg_adaptive", lambda: nn.Sequential(conv_bn(), nn.MaxPool2d(2), conv_bn(4, 6), nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Linear(294, 5)), variants="fb")
pattern("autoencoder", lambda: nn.Sequential(conv(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 7), nn.Linear(7, 192), nn.Unflatten(1, (4, 6, 8)), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2, 2), nn.Sigmoid()), variants="fb")
fn("vae_fixed_noise", lambda m, x: (lambda mu, s: m.d((mu + m.kept_noise * (0.5 * s).exp()).view(-1, 4, 3, 4)))(*m.e(x).chunk(2, 1)), variants="fb", parts=lambda: dict(
    e=nn.Sequential(conv(3, 4, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(48, 96)), d=nn.ConvTranspose2d(4, 3, 4, 4), kept_noise=torch.randn(48)))
pattern("generator", lambda: nn.Sequential(nn.Linear(6, 48), nn.Unflatten(1, (4, 3, 4)), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()), (6,), variants="fb")
pattern("discriminator", lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(conv(3, 4, 4, stride=2, padding=1)), nn.LeakyReLU(0.2), nn.utils.parametrizations.spectral_norm(conv(4, 6, 4, stride=2, padding=1)), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(72, 1)), variants="fb")

# Dense prediction.


def unet(m, x, up):
    """Apply a U-Net of two levels with the given upsampling."""
    a = m.a(x)
    b = m.b(F.max_pool2d(a, 2))
    c = m.c(F.max_pool2d(b, 2))
    d = m.d(torch.cat([up(m, c, b, "up1"), b], 1))
    return m.out(m.e(torch.cat([up(m, d, a, "up2"), a], 1)))


def unet_parts(**more):
    """Return what a U-Net is made of."""
    return dict(a=conv_bn(3, 3), b=conv_bn(3, 4), c=conv_bn(4, 4), d=conv_bn(8, 3), e=conv_bn(6, 3), out=conv(3, 2, 1), **more)


fn("unet_transposed", lambda m, x: unet(m, x, lambda m, y, like, name: getattr(m, name)(y)),
   parts=lambda: unet_parts(up1=nn.ConvTranspose2d(4, 4, 2, 2), up2=nn.ConvTranspose2d(3, 3, 2, 2)))
fn("unet_interpolate", lambda m, x: unet(m, x, lambda m, y, like, name: F.interpolate(y, size=like.shape[2:], mode="bilinear", align_corners=False)), (3, 14, 18), parts=unet_parts)
fn("unet_scale", lambda m, x: unet(m, x, lambda m, y, like, name: F.interpolate(y, scale_factor=2, mode="nearest")), parts=unet_parts)


def unet_padded(m, y, like, name):
    """Upsample and pad to the size of the skip connection, as many U-Nets write it."""
    y = getattr(m, name)(y)
    dy, dx = like.size(2) - y.size(2), like.size(3) - y.size(3)
    return F.pad(y, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])


fn("unet_padded", lambda m, x: unet(m, x, unet_padded), (3, 14, 18), parts=lambda: unet_parts(up1=nn.ConvTranspose2d(4, 4, 2, 2), up2=nn.ConvTranspose2d(3, 3, 2, 2)))


def unet_cropped(m, y, like, name):
    """Upsample past the skip connection and crop."""
    return F.interpolate(y, scale_factor=3)[:, :, : like.shape[2], : like.shape[3]]


fn("unet_cropped", lambda m, x: unet(m, x, unet_cropped), (3, 14, 18), parts=unet_parts)


def pyramid(m, x):
    """Return three levels of a feature pyramid."""
    a = m.a(x)
    b = m.b(a)
    c = m.c(b)
    p3 = m.l3(c)
    p2 = m.l2(b) + F.interpolate(p3, size=b.shape[-2:], mode="nearest")
    p1 = m.l1(a) + F.interpolate(p2, size=a.shape[-2:], mode="nearest")
    return m.o(p1), m.o(p2), p3


fn("fpn", pyramid, (3, 13, 18), parts=lambda: dict(a=conv_bn(), b=conv_bn(4, 4, stride=2), c=conv_bn(4, 6, stride=2), l1=conv(4, 3, 1), l2=conv(4, 3, 1), l3=conv(6, 3, 1), o=conv(3, 3)))
fn("aspp", lambda m, x: (lambda y: m.p(torch.cat([m.a(y), m.b(y), m.c(y), F.interpolate(m.g(y.mean((2, 3), keepdim=True)), size=y.shape[2:], mode="bilinear")], 1)))(m.s(x)),
   parts=lambda: dict(s=conv_bn(), a=conv_bn(4, 2, 1), b=conv_bn(4, 2, 3, dilation=2, padding=2), c=conv_bn(4, 2, 3, dilation=3, padding=3), g=conv_bn(4, 2, 1), p=conv_bn(8, 3, 1)))
fn("psp", lambda m, x: (lambda y: m.p(torch.cat([y, *(F.interpolate(c(F.adaptive_avg_pool2d(y, n)), size=y.shape[2:], mode="bilinear", align_corners=True) for n, c in ((1, m.a), (2, m.b), (4, m.c)))], 1)))(m.s(x)),
   parts=lambda: dict(s=conv_bn(), a=conv(4, 1, 1), b=conv(4, 1, 1), c=conv(4, 1, 1), p=conv(7, 3)), swap=False)
fn("sub_pixel_sr", lambda m, x: F.pixel_shuffle(m.b(m.a(x).relu()), 2) + F.interpolate(x, scale_factor=2, mode="bicubic"), (3, 8, 10), parts=lambda: dict(a=conv(), b=conv(4, 12)))


def yolo(m, x):
    """Return a YOLOv5-like head: view, permute, sigmoid, grid and anchors, flattened and joined."""
    a = m.a(x)
    b = m.b(a)
    found = []
    for y, head, stride in ((a, m.ha, 2.0), (b, m.hb, 4.0)):
        y = head(y)
        n, _, h, w = y.shape
        y = y.view(n, 2, 7, h, w).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
        gy, gx = torch.meshgrid(torch.arange(h, dtype=y.dtype), torch.arange(w, dtype=y.dtype), indexing="ij")
        cells = torch.stack((gx, gy), 2).view(1, 1, h, w, 2)
        xy = (y[..., :2] * 2.0 - 0.5 + cells) * stride
        wh = (y[..., 2:4] * 2) ** 2 * m.kept_anchors.view(1, 2, 1, 1, 2)
        found.append(torch.cat((xy, wh, y[..., 4:]), -1).view(n, -1, 7))
    return torch.cat(found, 1)


fn("yolo_v5", yolo, parts=lambda: dict(a=conv_bn(stride=2, act=nn.SiLU), b=conv_bn(4, 6, stride=2, act=nn.SiLU), ha=conv(4, 14, 1), hb=conv(6, 14, 1), kept_anchors=torch.tensor([[3.0, 4.0], [6.0, 5.0]])))


def yolo_v8(m, x):
    """Return a YOLOv8-like head: distribution focal loss over four sides, boxes from anchors."""
    feats = [m.ha(m.a(x)), m.hb(m.b(m.a(x)))]
    joined = torch.cat([f.flatten(2) for f in feats], 2)
    box, cls = joined.split((16, 3), 1)
    b, _, n = box.shape
    box = m.dfl(box.view(b, 4, 4, n).transpose(2, 1).softmax(1)).view(b, 4, n)
    points, strides = [], []
    for f, s in zip(feats, (2.0, 4.0)):
        h, w = f.shape[2:]
        sx, sy = torch.arange(w) + 0.5, torch.arange(h) + 0.5
        sy, sx = torch.meshgrid(sy, sx, indexing="ij")
        points.append(torch.stack((sx, sy), -1).view(-1, 2))
        strides.append(torch.full((h * w, 1), s))
    points, strides = torch.cat(points).transpose(0, 1)[None], torch.cat(strides).transpose(0, 1)
    lt, rb = box.chunk(2, 1)
    low, high = points - lt, points + rb
    return torch.cat([torch.cat(((low + high) / 2, high - low), 1) * strides, cls.sigmoid()], 1)


fn("yolo_v8", yolo_v8, parts=lambda: dict(a=conv_bn(stride=2, act=nn.SiLU), b=conv_bn(4, 6, stride=2, act=nn.SiLU), ha=conv(4, 19, 1), hb=conv(6, 19, 1), dfl=nn.Conv2d(4, 1, 1, bias=False)))


def ssd(m, x):
    """Return an SSD-like head: permuted and reshaped predictions of two maps, softmax on classes."""
    a = m.a(x)
    b = m.b(a)
    boxes = torch.cat([h(y).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4) for h, y in ((m.la, a), (m.lb, b))], 1)
    scores = torch.cat([h(y).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 3) for h, y in ((m.ca, a), (m.cb, b))], 1)
    return boxes, scores.softmax(-1)


fn("ssd", ssd, parts=lambda: dict(a=conv_bn(stride=2), b=conv_bn(4, 6, stride=2), la=conv(4, 8), lb=conv(6, 8), ca=conv(4, 6), cb=conv(6, 6)))


def center_net(m, x):
    """Return a keypoint head: peaks by max pooling, offsets by soft-argmax."""
    y = m.c(x)
    heat = m.h(y).sigmoid()
    peaks = heat * (F.max_pool2d(heat, 3, 1, 1) == heat).float()
    flat = m.h(y).flatten(2).softmax(-1).view_as(heat)
    xs = (flat.sum(2) * torch.arange(heat.shape[3])).sum(-1)
    ys = (flat.sum(3) * torch.arange(heat.shape[2])).sum(-1)
    return peaks, torch.stack([xs, ys], -1)


fn("center_net", center_net, parts=lambda: dict(c=conv_bn(), h=conv(4, 2, 1)))
fn("crnn", lambda m, x: m.f(m.r(F.max_pool2d(m.c(x), (12, 1)).squeeze(2).permute(0, 2, 1))[0]), variants="fb", parts=lambda: dict(c=conv_bn(), r=nn.LSTM(4, 5, bidirectional=True, batch_first=True), f=nn.Linear(10, 4)))
fn("crnn_time_first", lambda m, x: m.f(m.r(F.max_pool2d(m.c(x), (12, 1)).squeeze(2).permute(2, 0, 1))[0]).log_softmax(2), variants="fb", parts=lambda: dict(c=conv_bn(), r=nn.LSTM(4, 5), f=nn.Linear(5, 4)))
fn("gru_rows", lambda m, x: m.f(m.r(m.c(x).mean(1))[1][0]), variants="fb", parts=lambda: dict(c=conv_bn(), r=nn.GRU(16, 5, batch_first=True), f=nn.Linear(5, 4)))
fn("fake_quantize", lambda m, x: m.b(torch.fake_quantize_per_tensor_affine(m.a(x), 0.05, 120, 0, 255)).relu(), parts=lambda: dict(a=conv(), b=conv(4, 3)))
fn("fake_quantize_weights", lambda m, x: F.conv2d(torch.fake_quantize_per_tensor_affine(x, 0.03, 0, -128, 127), torch.fake_quantize_per_channel_affine(m.w, m.kept_s, m.kept_z, 0, -127, 127), padding=1).relu(),
   dynamo=False, parts=lambda: dict(w=nn.Parameter(torch.randn(4, 3, 3, 3)), kept_s=torch.full((4,), 0.02), kept_z=torch.zeros(4, dtype=torch.int32)))
fn("straight_round", lambda m, x: m.b(m.a(x).relu().mul(8).round().div(8).clamp(0, 1)), parts=lambda: dict(a=conv(), b=conv(4, 3)))
fn("fft_like_dct", lambda m, x: m.b((m.kept_d @ m.a(x) @ m.kept_d.T)), (3, 10, 10), variants="fb", parts=lambda: dict(a=conv(), b=conv(4, 3), kept_d=torch.randn(10, 10)))
fn("style_adain", lambda m, x, y: (lambda a, b: m.d((a - a.mean((2, 3), keepdim=True)) / (a.std((2, 3), keepdim=True) + 1e-3) * b.std((2, 3), keepdim=True) + b.mean((2, 3), keepdim=True)))(m.c(x), m.c(y)), (3, 8, 9), (3, 8, 9), variants="fb", parts=lambda: dict(c=conv_bn(), d=conv(4, 3)))
fn("temporal_shift", lambda m, x: (lambda y: m.c(torch.cat([F.pad(y[:, 1:, :1], (0, 0, 0, 0, 0, 0, 0, 1)), y[:, :, 1:]], 2).flatten(0, 1)))(x.view(-1, 2, 3, 8, 9)), (2, 3, 8, 9), variants="fb", parts=lambda: dict(c=conv()))


class Scripted(nn.Module):
    """A convolution in the branch of an If that depends on the input."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(), conv(4, 4), conv(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the second convolution only where the mean is positive."""
        y = torch.relu(self.a(x))
        if bool(y.mean() > 0.2):
            y = self.b(y)
        return self.c(y)


class Looped(nn.Module):
    """A convolution in the body of a Loop."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(), conv(4, 4), conv(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the second convolution three times."""
        y = torch.relu(self.a(x))
        for _ in range(3):
            y = torch.relu(self.b(y))
        return self.c(y)


class ScriptedShape(nn.Module):
    """An If whose condition is the shape."""

    def __init__(self):
        super().__init__()
        self.a, self.c = conv(), conv(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad odd heights."""
        y = torch.relu(self.a(x))
        if y.size(2) % 2 == 1:
            y = F.pad(y, (0, 0, 0, 1))
        return self.c(y)


pattern("script_if", lambda: torch.jit.script(Scripted()), dynamo=False)
pattern("script_loop", lambda: torch.jit.script(Looped()), dynamo=False)
pattern("script_if_shape", lambda: torch.jit.script(ScriptedShape()), (3, 11, 14), dynamo=False)
fn("script_checkpoint_like", lambda m, x: m.c(m.c(m.c(x).relu()).relu()), (3, 10, 12), parts=lambda: dict(c=conv(3, 3)))
fn("squeeze_dim_dynamic", lambda m, x: m.c(x).mean(2, keepdim=True).squeeze(2).unsqueeze(2) + m.d(x), parts=lambda: dict(c=conv(), d=conv()))
fn("complex_nested", lambda m, x: Fn.forward(m.inner, m.c(x)), parts=lambda: dict(c=conv(), inner=Fn(lambda m, y: m.d(y.relu()), d=conv(4, 3))))
