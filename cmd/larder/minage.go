package main

import (
	"time"

	"github.com/larder-build/larder/internal/audit"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/spf13/pflag"
	"golang.org/x/mod/module"
)

// minAgeFlags say how old module versions must be.
type minAgeFlags struct {
	age    audit.Age
	exempt []string
}

func (f *minAgeFlags) register(flags *pflag.FlagSet) {
	flags.Var(&f.age, "min-age", `Age that a release has to have before it is used (e.g., "7d", "0" for none); one of which nobody tells the age is refused`)
	flags.StringArrayVar(&f.exempt, "min-age-exempt", nil, `Module paths that may be of any age, as in GOPRIVATE (e.g., "*.corp.example,github.com/team")`)
}

// read checks the flags.
func (f *minAgeFlags) read(now time.Time) (audit.MinAge, error) {
	m, err := audit.NewMinAge(f.age, f.exempt, now)
	if err != nil {
		err = usageError{err}
	}
	return m, err
}

// admit returns a function that refuses items of bundles that are too young.
func admit(m audit.MinAge) func(bundle.Item) error {
	return func(i bundle.Item) error {
		var released time.Time
		if i.Time != nil {
			released = *i.Time
		}
		return m.Check(module.Version{Path: i.Name, Version: i.Version}, released)
	}
}
