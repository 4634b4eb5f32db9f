package audit

import (
	"fmt"
	"strconv"
	"time"
)

// An Age is a span of calendar time. The zero Age is none.
type Age struct{ years, days int }

// ParseAge reads an age such as 2y or 90d, or 0 for the zero Age.
func ParseAge(text string) (Age, error) {
	if text == "0" {
		return Age{}, nil
	}
	if len(text) > 1 {
		n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
		switch unit := text[len(text)-1]; {
		case err != nil:
		case unit == 'y':
			return Age{years: int(n)}, nil
		case unit == 'd':
			return Age{days: int(n)}, nil
		}
	}
	return Age{}, fmt.Errorf("age %q: give years or days, as 2y or 90d, or 0 for no limit", text)
}

// String returns the text that ParseAge reads.
func (a Age) String() string {
	switch {
	case a.years > 0:
		return strconv.Itoa(a.years) + "y"
	case a.days > 0:
		return strconv.Itoa(a.days) + "d"
	}
	return "0"
}

// Set and Type make an Age the value of a flag.
func (a *Age) Set(text string) (err error) { *a, err = ParseAge(text); return err }

func (a *Age) Type() string { return "age" }

// IsZero reports whether the age is zero, which means no limit.
func (a Age) IsZero() bool { return a == Age{} }

// Before returns the time that is this age before t.
func (a Age) Before(t time.Time) time.Time { return t.AddDate(-a.years, 0, -a.days) }
