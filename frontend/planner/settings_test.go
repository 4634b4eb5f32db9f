package planner

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckArgs(t *testing.T) {
	for name, values := range map[string][]string{
		"GO386":     {"", "sse2", "softfloat"},
		"GOAMD64":   {"v1", "v4"},
		"GOARM":     {"5", "7", "6,softfloat", "7,hardfloat"},
		"GOARM64":   {"v8.0", "v9.5,lse", "v8.1,crypto,lse"},
		"GOFIPS140": {"off", "latest", "inprocess", "certified", "v1.0.0", "v1.26.0-rc1", "v1.0.0-c2097c7c"},
		"GOFLAGS":   {"-tags=a -mod=vendor", "-ldflags=-w"},
		"GOMIPS":    {"softfloat"},
		"GOMIPS64":  {"hardfloat"},
		"GOPPC64":   {"power10"},
		"GORISCV64": {"rva23u64"},
		"GOWORK":    {"", "off", "auto"},
		"GODEBUG":   {"whatever"}, // what is known of no release is left to the go command
	} {
		for _, value := range values {
			require.NoError(t, checkArgs(map[string]string{name: value}), "%s=%s", name, value)
		}
	}
	for name, values := range map[string][]string{
		"GO386":     {"387x"},
		"GOAMD64":   {"v9", "1", "v1 "},
		"GOARM":     {"8", "v7", "7,soft"},
		"GOARM64":   {"v8", "v10.0", "v8.0,x"},
		"GOFIPS140": {"on", "v9", "1.0.0"},
		"GOFLAGS":   {"-mod=mod", "-v -toolexec=x", "-exec=x", "'-v"},
		"GOMIPS":    {"hard"},
		"GOMIPS64":  {"x"},
		"GOPPC64":   {"8"},
		"GORISCV64": {"rva20"},
		"GOWORK":    {"go.work", "/src/go.work"},
	} {
		for _, value := range values {
			require.ErrorContains(t, checkArgs(map[string]string{name: value}), "the build argument "+name+"="+value+": ", name)
		}
	}
}
