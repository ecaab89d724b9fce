package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxPixels bounds the size of an image, so that a broken header can't ask for
// all memory.
const maxPixels = 1 << 26

// openFolder opens a folder that has a folder of images for each class, in
// ascending order of their names as bytes. The samples are the first image of
// each class, then the second of each that has one, and so on.
func openFolder(ctx context.Context, dir string, o options) (*Set, error) {
	files, longest, err := classFiles(dir)
	if err != nil {
		return nil, err
	}
	var all imageFiles
	s := &Set{Classes: len(files)}
	for k := range longest {
		for class := range files {
			if k < len(files[class]) {
				all = append(all, files[class][k])
				s.Labels = append(s.Labels, class)
			}
		}
	}
	return s, s.open(ctx, all, o)
}

// imageFiles are images in a file each.
type imageFiles []string

func (f imageFiles) content(index int) ([]byte, error) { return os.ReadFile(f[index]) }

func (f imageFiles) name(index int) string { return f[index] }

func (f imageFiles) identity(index int) string {
	class, name := filepath.Split(f[index])
	size := int64(-1) // of a file that reading will name
	if info, err := os.Stat(f[index]); err == nil {
		size = info.Size()
	}
	return fmt.Sprintf("%s/%s %d", filepath.Base(class), name, size)
}

// classFiles returns the files of each class, and how many the largest has.
func classFiles(dir string) (files [][]string, longest int, err error) {
	classes, err := entries(dir)
	if err != nil {
		return nil, 0, err
	}
	files = make([][]string, len(classes))
	for i, class := range classes {
		path := filepath.Join(dir, class.Name())
		if !isDir(path, class) {
			return nil, 0, fmt.Errorf("%s: not a folder; want a folder of images for each class, and nothing else", path)
		}
		images, err := entries(path)
		if err != nil {
			return nil, 0, err
		}
		for _, entry := range images {
			files[i] = append(files[i], filepath.Join(path, entry.Name()))
		}
		longest = max(longest, len(images))
	}
	return files, longest, nil
}

// entries lists a folder without what is hidden by a leading dot, in order.
func entries(dir string) ([]fs.DirEntry, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), ".") {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// isDir reports whether an entry is a folder, or a link to one.
func isDir(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func colours(channels int) string {
	if channels == 1 {
		return "shades of grey"
	}
	return "colours"
}

// decodeImage decodes a PNG or JPEG file: one channel if it is grey, else red, green
// and blue, between 0 and 1; three in any case where colour asks for it. How a camera
// was held (EXIF) is not regarded.
func decodeImage(content []byte, nhwc, colour bool) (frame, []float32, error) {
	in := bytes.NewReader(content)
	decode, config := png.Decode, png.DecodeConfig
	switch {
	case bytes.HasPrefix(content, []byte("\x89PNG\r\n\x1a\n")):
	case bytes.HasPrefix(content, []byte{0xff, 0xd8}):
		decode, config = jpeg.Decode, jpeg.DecodeConfig
	default:
		return frame{}, nil, fmt.Errorf("starts with % x; a PNG file starts with 89 50 4e 47, a JPEG file with ff d8",
			content[:min(4, len(content))])
	}
	broken := func(err error) error {
		// The decoders read ahead by no more than a few kilobytes.
		return fmt.Errorf("broken or short, found by offset %d of %d: %w", len(content)-in.Len(), len(content), err)
	}
	c, err := config(in)
	if err != nil {
		return frame{}, nil, broken(err)
	}
	if c.Height <= 0 || c.Width <= 0 || c.Height > maxPixels/c.Width {
		return frame{}, nil, fmt.Errorf("%d×%d pixels; want 1 to %d in all", c.Height, c.Width, maxPixels)
	}
	in.Reset(content)
	img, err := decode(in)
	if err != nil {
		return frame{}, nil, broken(err)
	}
	return pixelsOf(img, nhwc, colour)
}

// pixelsOf returns the samples of an image as shares of the greatest.
func pixelsOf(img image.Image, nhwc, colour bool) (frame, []float32, error) {
	b := img.Bounds()
	f := frame{channels: 3, height: b.Dy(), width: b.Dx(), last: nhwc}
	depth := 8
	switch img.(type) {
	case *image.Gray:
		f.channels = 1
	case *image.Gray16:
		f.channels, depth = 1, 16
	case *image.RGBA64, *image.NRGBA64:
		depth = 16
	case *image.RGBA, *image.NRGBA, *image.Paletted, *image.YCbCr:
	case *image.CMYK:
		if !colour {
			return f, nil, errors.New("neither grey nor RGB but CMYK; convert it, or give channels=3")
		}
	default:
		return f, nil, errors.New("neither grey nor RGB; convert it")
	}
	if colour {
		f.channels = 3
	}
	if o, ok := img.(interface{ Opaque() bool }); ok && !o.Opaque() {
		return f, nil, errors.New("has transparent pixels; put it on a background first")
	}
	at64 := img.(image.RGBA64Image).RGBA64At // which all of those have, and allocates nothing
	out := make([]float32, f.size())
	channel, row, column := f.strides()
	for y := range f.height {
		for x := range f.width {
			p := at64(b.Min.X+x, b.Min.Y+y)
			for c, v := range []uint16{p.R, p.G, p.B}[:f.channels] {
				at := c*channel + y*row + x*column
				if depth == 8 {
					// 8 bits are widened by repeating them.
					out[at] = float32(v>>8) / 255
				} else {
					out[at] = float32(v) / 65535
				}
			}
		}
	}
	return f, out, nil
}
