package main

import (
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// group is the part of a category's width that its bars take.
const group = 0.8

// barSeries draws one bar for each category, from the bottom of the plot, which on a logarithmic
// axis is not 0, with its value above it.
type barSeries struct {
	heights     []float64
	left, width float64 // from the middle of the category, in widths of one
	color       color.Color
}

// bars draws the series beside each other, category by category. All series must have the same categories.
func bars(p *plot.Plot, legend *plot.Legend, all []series, _ look) error {
	wide := group / float64(len(all))
	for i, s := range all {
		if !slices.Equal(s.x, all[0].x) {
			return fmt.Errorf("series %s has other categories than %s", s.name, all[0].name)
		}
		b := &barSeries{s.y, -group/2 + float64(i)*wide, wide, palette[i%len(palette)]}
		p.Add(b)
		legend.Add(s.name, b)
	}
	return nil
}

// Plot implements plot.Plotter.
func (b *barSeries) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := p.X.Tick.Label
	style.Font.Size = 7.5
	style.XAlign, style.YAlign = draw.XCenter, draw.YBottom
	for i, h := range b.heights {
		from, to := x(float64(i)+b.left), x(float64(i)+b.left+b.width*0.92)
		c.FillPolygon(b.color, []vg.Point{{X: from, Y: c.Min.Y}, {X: from, Y: y(h)}, {X: to, Y: y(h)}, {X: to, Y: c.Min.Y}})
		c.FillText(style, vg.Point{X: (from + to) / 2, Y: y(h) + 2}, number(h))
	}
}

// DataRange implements plot.DataRanger.
func (b *barSeries) DataRange() (xmin, xmax, ymin, ymax float64) {
	return 0, float64(len(b.heights) - 1), slices.Min(b.heights), slices.Max(b.heights)
}

// Thumbnail implements plot.Thumbnailer.
func (b *barSeries) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.color, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Max.Y},
		{X: c.Max.X, Y: c.Min.Y}})
}

// categories names the groups on the x axis.
func categories(all []series) plot.ConstantTicks {
	var ts plot.ConstantTicks
	for i, name := range all[0].x {
		ts = append(ts, plot.Tick{Value: float64(i), Label: name})
	}
	return ts
}
