package planpage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/frontend/planner"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// modules are the module sets of a plan.
type modules struct {
	Sets     []moduleSet
	Rows     []moduleRow
	More     int // rows that aren't shown
	Total    int
	Size     string // of all zips whose size is known; "" for none
	Known    int    // how many sizes are known
	Licenses []string
	Oldest   string
	From     string
	// What is known of any module: there is a column for it.
	HasSize, HasLicense, HasTime bool
}

// A moduleSet says where the modules of a set come from.
type moduleSet struct {
	Key, From string
	Zips      int
	Vendored  bool
	Private   int
}

// A moduleRow is a module version.
type moduleRow struct {
	module.Version
	Size, License, Released string // with its age
}

func newModules(p Page) modules {
	m := modules{From: p.FactsFrom}
	versions := map[module.Version]bool{}
	for _, set := range p.Plan.Modules {
		m.Sets = append(m.Sets, moduleSet{set.Key, sources(set), set.Zips, set.Vendored, set.Private})
		for _, sum := range set.Set.Zips() {
			versions[sum.Module()] = true
		}
	}
	list := slices.SortedFunc(maps.Keys(versions), func(a, b module.Version) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version))
	})
	m.Total = len(list)
	m.sum(p, list)
	m.More = len(list) - min(len(list), maxModules)
	for _, v := range list[:len(list)-m.More] {
		m.Rows = append(m.Rows, newModuleRow(v, p.Facts[v], p.Now))
	}
	return m
}

func newModuleRow(v module.Version, f Fact, now time.Time) moduleRow {
	r := moduleRow{Version: v, License: commas(f.Licenses)}
	if f.Size > 0 {
		r.Size = size(f.Size)
	}
	if !f.Time.IsZero() {
		r.Released = f.Time.UTC().Format(time.DateOnly) + ", " + age(f.Time, now)
	}
	return r
}

// sources says where the modules of a set come from.
func sources(m *planner.Modules) string {
	var list []string
	for _, s := range m.Sources {
		list = append(list, s.String())
	}
	return strings.Join(list, ", then ")
}

// sum adds up what is known of all modules.
func (m *modules) sum(p Page, list []module.Version) {
	var bytes int64
	var oldest module.Version
	licenses := map[string]int{}
	for _, v := range list {
		f := p.Facts[v]
		if f.Size > 0 {
			m.Known++
			bytes += f.Size
		}
		if first := p.Facts[oldest].Time; !f.Time.IsZero() && (first.IsZero() || f.Time.Before(first)) {
			oldest = v
		}
		for _, id := range f.Licenses {
			licenses[id]++
		}
	}
	m.HasSize, m.HasLicense, m.HasTime = m.Known > 0, len(licenses) > 0, oldest.Path != ""
	if m.HasSize {
		m.Size = size(bytes)
	}
	if m.HasTime {
		m.Oldest = fmt.Sprintf("%s, %s old", oldest, age(p.Facts[oldest].Time, p.Now))
	}
	ids := slices.SortedFunc(maps.Keys(licenses), func(a, b string) int {
		return cmp.Or(licenses[b]-licenses[a], strings.Compare(a, b))
	})
	for _, id := range ids[:min(len(ids), maxNeeds)] {
		m.Licenses = append(m.Licenses, fmt.Sprintf("%s (%d)", id, licenses[id]))
	}
	if more := len(ids) - len(m.Licenses); more > 0 {
		m.Licenses = append(m.Licenses, count(more, "licence")+" more")
	}
}
