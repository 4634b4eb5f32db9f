package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// scanPredicate is the type of a statement about an image whose predicate is what a scanner of vulnerabilities printed:
// https://github.com/sigstore/cosign/blob/main/specs/COSIGN_VULN_ATTESTATION_SPEC.md.
const scanPredicate = "https://cosign.sigstore.dev/attestation/vuln/v1"

// A scanStatement is the predicate of that type. Times of the scan are left out: govulncheck doesn't print them.
type scanStatement struct {
	Invocation struct{} `json:"invocation"`
	Scanner    struct {
		URI     string `json:"uri"`
		Version string `json:"version"`
		DB      struct {
			URI     string `json:"uri"`
			Version string `json:"version"`
		} `json:"db"`
		Result struct {
			Messages []json.RawMessage `json:"messages"`
		} `json:"result"`
	} `json:"scanner"`
	Metadata struct{} `json:"metadata"`
}

// newScanStatement returns the predicate for what govulncheck printed with -format=json, of one program or of several: a
// message of what it is, and then those of what it found. Which image that is of isn't in it.
func newScanStatement(printed []byte) (json.RawMessage, error) {
	if len(printed) > maxVEX {
		return nil, fmt.Errorf("it has %d bytes: expected at most %d", len(printed), maxVEX)
	}
	var s scanStatement
	for dec := json.NewDecoder(bytes.NewReader(printed)); ; {
		var message json.RawMessage
		if err := dec.Decode(&message); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("it isn't what govulncheck -format=json prints: %w", err)
		}
		if err := s.add(message); err != nil {
			return nil, err
		}
	}
	if len(s.Scanner.Result.Messages) == 0 {
		return nil, errors.New("it is empty: expected what govulncheck -format=json prints")
	}
	return json.Marshal(s)
}

func (s *scanStatement) add(message json.RawMessage) error {
	var m struct {
		Config *struct {
			Protocol     string `json:"protocol_version"`
			Name         string `json:"scanner_name"`
			Version      string `json:"scanner_version"`
			DB           string `json:"db"`
			LastModified string `json:"db_last_modified"`
		} `json:"config"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return fmt.Errorf("it isn't what govulncheck -format=json prints: %w", err)
	}
	first := len(s.Scanner.Result.Messages) == 0
	if first && (m.Config == nil || !strings.HasPrefix(m.Config.Protocol, "v1.")) {
		return errors.New("it isn't what govulncheck -format=json prints: that begins with its config, and a protocol_version of v1")
	}
	if first {
		s.Scanner.URI, s.Scanner.Version = "pkg:golang/golang.org/x/vuln", m.Config.Name+" "+m.Config.Version // a program that govulncheck is a part of names itself
		s.Scanner.DB.URI, s.Scanner.DB.Version = m.Config.DB, m.Config.LastModified
	}
	s.Scanner.Result.Messages = append(s.Scanner.Result.Messages, message)
	return nil
}
