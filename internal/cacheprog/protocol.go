package cacheprog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// A request is a message of the go command, on a line of its own. Where BodySize isn't 0, another line follows with
// the body: a JSON string in base64.
type request struct {
	ID       int64
	Command  string
	ActionID []byte
	OutputID []byte
	BodySize int64
}

// A response answers the request with its ID. The first one has ID 0 and answers none: it lists the commands.
type response struct {
	ID            int64
	Err           string     `json:",omitempty"`
	KnownCommands []string   `json:",omitempty"`
	Miss          bool       `json:",omitempty"`
	OutputID      []byte     `json:",omitempty"`
	Size          int64      `json:",omitempty"`
	Time          *time.Time `json:",omitempty"`
	DiskPath      string     `json:",omitempty"`
}

// maxLine bounds the line of a request, which takes some 200 bytes.
const maxLine = 64 << 10

// readRequest reads the next request, without its body. The error is io.EOF if there is none.
func readRequest(in *bufio.Reader) (req request, err error) {
	for {
		line, err := in.ReadSlice('\n')
		text := bytes.TrimSpace(line)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return req, fmt.Errorf("malformed request: its line is longer than %d bytes", in.Size())
		case err == io.EOF && len(text) > 0:
			return req, fmt.Errorf("malformed request: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return req, err
		case len(text) == 0:
			continue // the go command has an empty line after each request
		}
		if err := json.Unmarshal(text, &req); err != nil {
			return req, fmt.Errorf("malformed request: %w", err)
		}
		return req, nil
	}
}

// A body reads the JSON string that follows a request, up to its closing quote. It holds none of it.
type body struct {
	ctx    context.Context
	in     *bufio.Reader
	opened bool
	closed bool
	broken error // the stream can't be read on
}

func newBody(ctx context.Context, in *bufio.Reader, size int64) *body {
	return &body{ctx: ctx, in: in, opened: size <= 0, closed: size <= 0}
}

// decode returns the bytes that the string stands for.
func (b *body) decode() io.Reader { return base64.NewDecoder(base64.StdEncoding, b) }

// Read reads the string as it is. Base64 needs no escapes, so a quote always is the end; the decoder refuses the rest.
func (b *body) Read(p []byte) (int, error) {
	if b.broken == nil && !b.opened {
		b.broken = b.open()
	}
	switch {
	case b.broken != nil:
		return 0, b.broken
	case b.closed:
		return 0, io.EOF
	case b.ctx.Err() != nil:
		return 0, b.ctx.Err()
	}
	if _, err := b.in.Peek(1); err != nil {
		b.broken = fmt.Errorf("reading a body: %w", unexpected(err))
		return 0, b.broken
	}
	text, _ := b.in.Peek(min(b.in.Buffered(), len(p)))
	if i := bytes.IndexByte(text, '"'); i >= 0 {
		b.closed = true
		copy(p, text[:i])
		b.in.Discard(i + 1)
		return i, nil
	}
	copy(p, text)
	return b.in.Discard(len(text))
}

// open skips to the string's first quote.
func (b *body) open() error {
	b.opened = true
	for {
		switch c, err := b.in.ReadByte(); {
		case err != nil:
			return fmt.Errorf("reading a body: %w", unexpected(err))
		case c == '"':
			return nil
		case c != '\n' && c != '\r' && c != ' ' && c != '\t':
			return fmt.Errorf("malformed body: it starts with %q: expected a string", c)
		}
	}
}

// skip reads what is left, so that the next request can be read.
func (b *body) skip() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
