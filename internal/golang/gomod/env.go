package gomod

// OfflineEnv returns the environment, as NAME=VALUE, for every go command of a build: it fetches nothing, runs no other
// toolchain than the one at hand, and reads no configuration file. GONOPROXY is set because otherwise GOPRIVATE would
// bypass GOPROXY=off.
func OfflineEnv() []string {
	return []string{"GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=off", "GONOPROXY=none", "GOSUMDB=off", "GOVCS=*:off", "GOTELEMETRY=off"}
}
