package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Level says what a rule asks for.
type Level string

// The levels, as in RFC 2119.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Case is one rule and the script that tries it.
type Case struct {
	Name  string
	Level Level
	// Rule is what the worker does if it keeps the rule.
	Rule string

	lease, interval time.Duration // zero: the usual ones
	play            func(s *script)
}

// Verdict is what a case found.
type Verdict struct {
	Name  string        `json:"name"`
	Level Level         `json:"level"`
	Rule  string        `json:"rule"`
	Kept  bool          `json:"kept"`
	Found string        `json:"found,omitempty"` // what is wrong, if the rule is not kept
	Took  time.Duration `json:"-"`
	// Output is the last that the worker's process wrote, if the rule is not kept.
	Output string `json:"output,omitempty"`
}

// Passed reports whether each rule is kept that must or should be.
func Passed(vs []Verdict) bool {
	return !slices.ContainsFunc(vs, func(v Verdict) bool { return !v.Kept && v.Level != May })
}

// Options says how Try goes about it. The zero value is ready to use.
type Options struct {
	// Only names the cases to try: those whose name contains it.
	Only string
	// Parallel is the number of cases that run at once, 4 if it is 0.
	Parallel int
}

// Try runs a worker's command against each case, and returns the verdicts in the order of Cases. It
// ends early, with the error of the context, when the context ends.
func Try(ctx context.Context, command []string, o Options) ([]Verdict, error) {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	var chosen []Case
	for _, c := range Cases() {
		if strings.Contains(c.Name, o.Only) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no case has %q in its name", o.Only)
	}
	verdicts := make([]Verdict, len(chosen))
	errs := make([]error, len(chosen))
	slots := make(chan struct{}, o.Parallel)
	var wg sync.WaitGroup
	for i := range chosen {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				verdicts[i], errs[i] = chosen[i].try(ctx, command)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// try runs one case.
func (c *Case) try(ctx context.Context, command []string) (Verdict, error) {
	s := &script{coordinator: newCoordinator("key-of-the-conformance-kit"), command: command, output: &tail{}}
	if c.lease > 0 {
		s.lease, s.interval = c.lease, c.interval
	}
	stop, err := s.serve(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer stop()
	v := Verdict{Name: c.Name, Level: c.Level, Rule: c.Rule, Kept: true}
	began := time.Now()
	v.Found = s.judge(c.play)
	v.Took = time.Since(began)
	s.stop()
	if v.Found == "" {
		v.Found = strings.Join(s.mistakesSoFar(), "; ")
	}
	if v.Found != "" {
		v.Kept, v.Output = false, s.output.String()
	}
	return v, nil
}

// judge plays a script. It returns the violation that ended it.
func (s *script) judge(play func(*script)) (found string) {
	defer func() {
		if r := recover(); r != nil {
			v, ok := r.(violation)
			if !ok {
				panic(r)
			}
			found = string(v)
		}
	}()
	play(s)
	return ""
}
