package step

// Paths of certificate authorities in a user's step, such as a RUN. /dev is a file system in memory in every step, so no
// layer gets these files.
const (
	CAFile       = "/dev/larder-secret-ca.pem" // the secret ca
	CASettings   = "/dev/larder-ca"            // the folder with the two settings files below, which name CAFile
	AptSettings  = "apt.conf"
	WgetSettings = "wgetrc" // for GNU wget
)

// CAVariables are environment variables that name a file of authorities. Most programs that read one then trust no other
// authorities.
var CAVariables = []string{
	"SSL_CERT_FILE",       // OpenSSL, and so Python, Ruby, PHP and apk; Go; Rust
	"CURL_CA_BUNDLE",      // curl, and Python's requests
	"GIT_SSL_CAINFO",      // git
	"NODE_EXTRA_CA_CERTS", // Node.js, and so npm, yarn and pnpm: besides its own
	"PIP_CERT",
	"REQUESTS_CA_BUNDLE",
	"CARGO_HTTP_CAINFO",
	"AWS_CA_BUNDLE",
}
