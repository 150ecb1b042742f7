package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// look is how a plot is drawn.
type look struct {
	title, x, y string
	bars, marks bool
	logX, logY  bool
	dashed      string
	stepX       float64
}

const (
	width, height = 17 * vg.Centimeter, 9 * vg.Centimeter
	// Room, in points: around everything, between the plot and the legend beside it, for the title,
	// for the label of the y axis.
	edge, gap, forTitle, forLabel = 6, 10, 30, 22
	// spare is the room that names get in the legend, for fonts that are wider than the one it is measured by.
	spare = 1.15
)

// fonts is what the drawing says about fonts. It names one that few have: others of the same widths
// are named beside it.
var fonts = regexp.MustCompile(`font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal;`)

// palette is the one of Okabe and Ito: told apart also by the colour-blind, and dark enough on white.
var palette = []color.Color{
	color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	color.RGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}, color.RGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff},
	color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	color.RGBA{A: 0xff},
}

var paleGrey = color.RGBA{R: 0xe0, G: 0xe0, B: 0xe0, A: 0xff}

// write draws the series as SVG, with the legend beside the plot, where it covers nothing.
func write(w io.Writer, all []series, l look) error {
	p, legend := newPlot(l)
	add := lines
	if l.bars {
		add = bars
	}
	if err := add(p, &legend, all, l); err != nil {
		return err
	}
	if err := scale(p, all, l); err != nil {
		return err
	}
	svg := vgsvg.New(width, height)
	canvas := draw.New(svg)
	canvas.SetColor(color.White) // a page may be dark
	canvas.Fill(canvas.Rectangle.Path())
	area := legend.Rectangle(canvas)
	beside := (area.Max.X-area.Min.X)*spare + gap
	p.Draw(draw.Crop(canvas, forLabel, -beside, edge, -forTitle))
	legend.Draw(draw.Crop(canvas, canvas.Max.X-beside+gap, 0, 0, -forTitle))
	// gonum would centre the title over the axes only, and make room for the label at the wrong
	// place of a logarithmic axis.
	style := p.Title.TextStyle
	style.XAlign, style.YAlign = draw.XCenter, draw.YTop
	canvas.FillText(style, vg.Point{X: canvas.Center().X, Y: canvas.Max.Y - edge}, l.title)
	style = p.X.Label.TextStyle
	style.Rotation, style.XAlign, style.YAlign = math.Pi/2, draw.XCenter, draw.YTop
	canvas.FillText(style, vg.Point{X: edge, Y: canvas.Center().Y}, l.y)
	var drawn bytes.Buffer
	if _, err := svg.WriteTo(&drawn); err != nil {
		return err
	}
	_, err := w.Write(fonts.ReplaceAll(drawn.Bytes(), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")))
	return err
}

// newPlot returns an empty plot, and an empty legend.
func newPlot(l look) (*plot.Plot, plot.Legend) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.X.Label.Text = l.x
	p.Title.TextStyle.Font.Size = 12
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font.Size, a.Label.Padding = 10, 4
		a.Tick.Label.Font.Size = 9
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = paleGrey, paleGrey
	if l.bars {
		grid.Vertical.Width = 0
	}
	p.Add(grid)
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.Padding, legend.ThumbnailWidth = true, true, 4, 20
	legend.TextStyle.Font.Size = 9
	return p, legend
}

// lines draws each series as a line.
func lines(p *plot.Plot, legend *plot.Legend, all []series, l look) error {
	colour := -1
	for _, s := range all {
		points := make(plotter.XYs, len(s.x))
		for i := range s.x {
			x, err := strconv.ParseFloat(s.x[i], 64)
			if err != nil {
				return fmt.Errorf("x: %w", err)
			}
			points[i] = plotter.XY{X: x, Y: s.y[i]}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		if l.dashed != "" && strings.HasSuffix(s.name, l.dashed) {
			line.Width, line.Dashes = 1, []vg.Length{4, 3}
		} else {
			colour++
			line.Width = 1.4
		}
		line.Color = palette[max(colour, 0)%len(palette)]
		p.Add(line)
		if !l.marks {
			legend.Add(s.name, line)
			continue
		}
		marks, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		marks.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: 2.5, Shape: draw.CircleGlyph{}}
		p.Add(marks)
		legend.Add(s.name, line, marks)
	}
	return nil
}

// scale sets the axes.
func scale(p *plot.Plot, all []series, l look) error {
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{step: l.stepX}, ticks{}
	if l.bars {
		p.X.Tick.Marker = categories(all)
		p.X.Tick.Length, p.X.Min, p.X.Max = 0, -0.5, float64(len(all[0].x))-0.5
	}
	if l.logX {
		if p.X.Min <= 0 {
			return errors.New("a logarithmic x axis needs x above 0")
		}
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{}
	}
	if l.stepX > 0 {
		p.X.Min = math.Floor(p.X.Min/l.stepX) * l.stepX
	}
	if !l.logY {
		p.Y.Min = min(p.Y.Min, 0)
		p.Y.Max += (p.Y.Max - p.Y.Min) * 0.04
		return nil
	}
	low, high := math.Inf(1), 0.0
	for _, s := range all {
		for _, y := range s.y {
			low, high = min(low, y), max(high, y)
		}
	}
	if low <= 0 {
		return errors.New("a logarithmic y axis needs y above 0")
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
	p.Y.Min, p.Y.Max = math.Pow10(int(math.Floor(math.Log10(low)))), math.Pow10(int(math.Ceil(math.Log10(high))))
	return nil
}
