package modfetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/larder-build/larder/internal/fetch"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// goSumdbKey is the key of the public checksum database, as in the go command.
const goSumdbKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

// maxSumdbFile is the greatest size of a file that is read from a checksum database: its largest files, tiles, have 8
// kB.
const maxSumdbFile = 1 << 20

// A Database is a client of a checksum database, directly or through the proxies that offer it. It keeps nothing
// between runs: it implements sumdb.ClientOps for the one lookup of a step. So it can't check that other clients see
// the same database. It does check the signature and the proof of inclusion for a hash.
type Database struct {
	ctx    context.Context // ClientOps takes none
	client *fetch.Client
	key    string
	name   string
	latest []byte

	base     *Source // where the database, or what passes its files on, is
	dir      string  // the database's folder there
	notFound bool    // the database said so
	lied     string  // what the client found wrong with the database
}

// databaseFields splits a GOSUMDB setting into a key and, if there is one, a URL.
func databaseFields(gosumdb string) ([]string, error) {
	switch gosumdb {
	case "":
		gosumdb = "sum.golang.org"
	case "sum.golang.google.cn":
		gosumdb = "sum.golang.org https://sum.golang.google.cn"
	}
	fields := strings.Fields(gosumdb)
	if len(fields) == 0 || len(fields) > 2 {
		return nil, fmt.Errorf("GOSUMDB=%s is not a name or key, alone or with a URL: leave it out, or use sum.golang.org", gosumdb)
	}
	if fields[0] == "sum.golang.org" {
		fields[0] = goSumdbKey
	}
	return fields, nil
}

// DatabaseKey returns the verifier key for a GOSUMDB setting, or "" for "off".
func DatabaseKey(gosumdb string) (string, error) {
	if gosumdb == "off" {
		return "", nil
	}
	fields, err := databaseFields(gosumdb)
	if err != nil {
		return "", err
	}
	return fields[0], nil
}

// NewDatabase finds the checksum database of a GOSUMDB setting, as the go command does. The setting is a known name or
// a verifier key. Either may be followed by a URL, which is then used instead of any proxy.
func NewDatabase(ctx context.Context, c *fetch.Client, gosumdb string, proxies []Entry) (*Database, error) {
	fields, err := databaseFields(gosumdb)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(fields[0])
	if err != nil {
		return nil, fmt.Errorf("GOSUMDB=%s: %w: use sum.golang.org, or the key that your database's owner published", gosumdb, err)
	}
	d := &Database{ctx: ctx, client: c, key: fields[0], name: verifier.Name()}
	direct, err := parseSource("https://" + d.name)
	if err != nil || direct.user != nil || direct.url.RawQuery != "" || strings.HasSuffix(d.name, "/") {
		return nil, fmt.Errorf("GOSUMDB=%s: the key's name is not a host and path", gosumdb)
	}
	if len(fields) == 2 {
		if d.base, err = parseSource(fields[1]); err != nil {
			return nil, fmt.Errorf("the URL in GOSUMDB %w", err)
		}
		return d, nil
	}
	return d, d.choose(direct, proxies)
}

// choose decides which server is asked. It is the first proxy that says that it passes the database's files on, or the
// database itself if none does.
func (d *Database) choose(direct *Source, proxies []Entry) error {
	dir := "sumdb/" + d.name
	for _, p := range proxies {
		if p.Source == nil {
			break
		}
		err := p.Get(d.ctx, d.client, dir+"/supported", new(buffer), maxSumdbFile)
		if err == nil {
			d.base, d.dir = p.Source, dir
			return nil
		}
		if !p.onError && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("asking %s whether it passes on the checksum database %s: %w", p.Shown, d.name, err)
		}
	}
	d.base = direct
	return nil
}

// Name returns the database's name.
func (d *Database) Name() string { return d.name }

// Lookup returns the h1 hash that the database vouches for, or fs.ErrNotExist.
func (d *Database) Lookup(m module.Version) (string, error) {
	lines, err := sumdb.NewClient(d).Lookup(m.Path, m.Version)
	switch {
	case d.lied != "":
		return "", fmt.Errorf("the checksum database %s (from %s) contradicts itself: %s", d.name, d.base.Shown, d.lied)
	case d.notFound:
		return "", fs.ErrNotExist
	case err != nil:
		text, _, _ := strings.Cut(err.Error(), "\n") // what follows is what the database sent
		return "", fmt.Errorf("asking the checksum database %s: %s", d.name, text)
	}
	for _, line := range lines {
		if hash, ok := strings.CutPrefix(line, m.Path+" "+m.Version+" "); ok && strings.HasPrefix(hash, "h1:") {
			return hash, nil
		}
	}
	return "", fmt.Errorf("the checksum database %s has no h1 hash of it", d.name)
}

// Key returns the database's verifier key, NAME+HASH+KEY.
func (d *Database) Key() string { return d.key }

// Get returns a file of the database, such as /lookup/golang.org/x/mod@v0.40.0. Several goroutines may call it.
func (d *Database) Get(ctx context.Context, path string) ([]byte, error) {
	var b buffer
	if err := d.base.Get(ctx, d.client, strings.TrimPrefix(d.dir+path, "/"), &b, maxSumdbFile); err != nil {
		return nil, fmt.Errorf("%s: %w", d.base.Shown, err)
	}
	return b.data, nil
}

// ReadRemote implements sumdb.ClientOps.
func (d *Database) ReadRemote(path string) ([]byte, error) {
	data, err := d.Get(d.ctx, path)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "/lookup/") {
		d.notFound = true
	}
	if err != nil {
		return nil, err
	}
	return data, checkSize(data)
}

// maxRecords is more records than a checksum database will ever have. If its owner signed a size near 2^63, the
// client of x/mod would count for ever.
const maxRecords = 1 << 40

// checkSize refuses an answer if its tree has more records than maxRecords. It accepts an answer that is no record.
func checkSize(data []byte) error {
	_, _, signed, err := tlog.ParseRecord(data)
	if err != nil {
		return nil
	}
	if tree, err := tlog.ParseTree(signed); err == nil && tree.N > maxRecords {
		return fmt.Errorf("it says that it has %d records: expected at most %d", tree.N, int64(maxRecords))
	}
	return nil
}

// ReadConfig implements sumdb.ClientOps.
func (d *Database) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(d.key), nil
	}
	return d.latest, nil
}

// WriteConfig implements sumdb.ClientOps.
func (d *Database) WriteConfig(_ string, _, latest []byte) error {
	d.latest = latest
	return nil
}

// ReadCache implements sumdb.ClientOps.
func (d *Database) ReadCache(string) ([]byte, error) { return nil, fs.ErrNotExist }

// WriteCache implements sumdb.ClientOps.
func (d *Database) WriteCache(string, []byte) {}

// Log implements sumdb.ClientOps.
func (d *Database) Log(string) {}

// SecurityError implements sumdb.ClientOps.
func (d *Database) SecurityError(msg string) {
	d.lied, _, _ = strings.Cut(strings.TrimSpace(msg), "\n")
}

// A buffer is a Sink in memory, for small files.
type buffer struct{ data []byte }

// Truncate implements Sink.
func (b *buffer) Truncate(size int64) error {
	b.data = b.data[:min(size, int64(len(b.data)))]
	return nil
}

// WriteAt implements Sink. It accepts only bytes that directly follow those it has.
func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	if off != int64(len(b.data)) {
		return 0, errors.New("write out of order")
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

var (
	_ sumdb.ClientOps = (*Database)(nil)
	_ Sink            = (*buffer)(nil)
)
