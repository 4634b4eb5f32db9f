package gomod

// OfflineEnv returns the environment, as NAME=VALUE, that every go command of a build has: nothing is fetched, no
// toolchain but the one at hand runs, and no configuration is taken from a file. GONOPROXY is there because a GOPRIVATE
// would otherwise go round GOPROXY=off.
func OfflineEnv() []string {
	return []string{"GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=off", "GONOPROXY=none", "GOSUMDB=off", "GOVCS=*:off", "GOTELEMETRY=off"}
}
