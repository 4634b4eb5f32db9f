package audit

import (
	"fmt"
	"strconv"
	"time"
)

// An Age is a span of calendar time. The zero Age is none.
type Age struct{ years, days int }

// ParseAge reads 2y or 90d; 0 is the zero Age.
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

// String is the reverse of ParseAge.
func (a Age) String() string {
	switch {
	case a.years > 0:
		return strconv.Itoa(a.years) + "y"
	case a.days > 0:
		return strconv.Itoa(a.days) + "d"
	}
	return "0"
}

// Set and Type make it the value of a flag.
func (a *Age) Set(text string) (err error) { *a, err = ParseAge(text); return err }

func (a *Age) Type() string { return "age" }

// IsZero says whether it is no age.
func (a Age) IsZero() bool { return a == Age{} }

// Before returns the time that is so long before t.
func (a Age) Before(t time.Time) time.Time { return t.AddDate(-a.years, 0, -a.days) }
