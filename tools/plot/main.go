package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	var l look
	in := flag.String("in", "", "the CSV file to read: x,series,y")
	out := flag.String("out", "", "the SVG file to write")
	flag.StringVar(&l.title, "title", "", "title")
	flag.StringVar(&l.x, "x", "", "label of the x axis")
	flag.StringVar(&l.y, "y", "", "label of the y axis")
	flag.BoolVar(&l.bars, "bars", false, "grouped bars, with the values of x as categories; otherwise lines")
	flag.BoolVar(&l.logX, "logx", false, "logarithmic x axis (lines only)")
	flag.BoolVar(&l.logY, "logy", false,
		"logarithmic y axis, from the power of ten below the smallest value to the one above the largest")
	flag.BoolVar(&l.marks, "marks", false, "mark the points of lines")
	flag.StringVar(&l.dashed, "dashed", "", "draw a series whose name ends so dashed, in the colour of the one before it")
	flag.Float64Var(&l.stepX, "step-x", 0, "distance of the ticks of a linear x axis; 0: as fits")
	flag.Parse()
	if err := run(*in, *out, l); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(in, out string, l look) error {
	if in == "" || !strings.HasSuffix(out, ".svg") || flag.NArg() > 0 {
		return errors.New("needs -in file.csv and -out file.svg")
	}
	all, err := read(in)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := write(f, all, l); err != nil {
		_ = f.Close() // the first error is the one to tell
		return fmt.Errorf("draw %s: %w", in, err)
	}
	return f.Close()
}
