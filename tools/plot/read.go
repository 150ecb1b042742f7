package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// series is one line, or the bars of one colour.
type series struct {
	name string
	x    []string
	y    []float64
}

// read reads a CSV file with the header x,series,y.
func read(path string) ([]series, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) < 2 || !slices.Equal(rows[0], []string{"x", "series", "y"}) {
		return nil, fmt.Errorf("%s: must begin with x,series,y and have rows", path)
	}
	var all []series
	for _, row := range rows[1:] {
		y, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: y: %w", path, err)
		}
		i := slices.IndexFunc(all, func(s series) bool { return s.name == row[1] })
		if i < 0 {
			i = len(all)
			all = append(all, series{name: row[1]})
		}
		all[i].x, all[i].y = append(all[i].x, row[0]), append(all[i].y, y)
	}
	return all, nil
}
