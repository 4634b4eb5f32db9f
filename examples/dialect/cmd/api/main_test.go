package main

import (
	"os"
	"testing"
)

func TestDescribe(t *testing.T) {
	if got, want := describe(), "api dev from "+origin+", "; len(got) != len(want)+36 || got[:len(want)] != want {
		t.Errorf("describe() = %q, want %q and a UUID", got, want)
	}
	// Where /scratch and a token are mounted, there is something in them to use.
	if _, err := os.Stat("/scratch"); err == nil {
		if err := os.WriteFile("/scratch/file", nil, 0o600); err != nil {
			t.Error(err)
		}
		if os.Getenv("TOKEN") == "" {
			t.Error("/scratch is mounted, and TOKEN isn't set")
		}
	}
}
