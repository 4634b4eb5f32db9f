// Package progress says what is told of work that may take long. Packages that do such work take a Reporter, and know nothing
// of how it is shown.
package progress

// A Reporter is told how far work is. Several goroutines may call its methods at the same time. Where a function or an option
// takes one, nil is for nobody.
type Reporter interface {
	// Begin says that a step begins, and how many items and bytes it has; 0 where nobody knows. It ends the step before.
	Begin(step string, items int, bytes int64)
	// At says how many bytes of an item are done, of how many; 0 where nobody knows.
	At(item string, bytes, of int64)
	// Done says that nothing is left to do of an item, and how many bytes it had.
	Done(item string, bytes int64)
}

// Or returns r, or a Reporter that does nothing if r is nil.
func Or(r Reporter) Reporter {
	if r == nil {
		return silent{}
	}
	return r
}

type silent struct{}

func (silent) Begin(string, int, int64) {}
func (silent) At(string, int64, int64)  {}
func (silent) Done(string, int64)       {}
