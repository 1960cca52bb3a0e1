package farm

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"

	"tokentest/harness/usage"
)

// Variable is the environment variable with the URL of a farm, for commands that are started without it: a command line
// can be seen by every user of a host.
const Variable = "TOKENTEST_FARM"

// The schemes of a farm's URL.
const (
	plainScheme = "nats" // only on loopback
	tlsScheme   = "tls"
)

// URL is where a farm is. In text it is nats://TOKEN@HOST:PORT on loopback; elsewhere it is tls://TOKEN@HOST:PORT, with
// ?cert=SHA256 for a server that signed its certificate itself. A team that shares a server has TEAM:TOKEN.
type URL struct {
	Team  string
	Token string
	Hosts []string // HOST:PORT, several of a cluster
	TLS   bool
	Cert  string // the SHA-256 of the server's certificate; "" means that an authority signed it
}

// ParseURL reads the URL of a farm. A text that is "" stands for the environment variable.
func ParseURL(text string) (*URL, error) {
	if text == "" {
		if text = os.Getenv(Variable); text == "" {
			return nil, usage.Errorf("name the farm: the URL that tokentest farm serve prints, or set %s", Variable)
		}
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" {
		return nil, usage.Errorf("%q is no URL of a farm: tokentest farm serve prints one, as nats://TOKEN@HOST:PORT",
			Redact(text))
	}
	u := &URL{Hosts: strings.Split(parsed.Host, ","), Cert: parsed.Query().Get("cert")}
	if parsed.User != nil {
		u.Token = parsed.User.Username()
		if secret, ok := parsed.User.Password(); ok {
			u.Team, u.Token = u.Token, secret
		}
	}
	switch parsed.Scheme {
	case tlsScheme:
		u.TLS = true
	case plainScheme:
		for _, host := range u.Hosts {
			if !Loopback(host) {
				return nil, usage.Errorf("%s: nats:// is for this host alone; use tls:// for others", Redact(text))
			}
		}
	default:
		return nil, usage.Errorf("%s: the URL of a farm begins with nats:// or tls://",
			anyUser.ReplaceAllString(text, "${1}TOKEN@"))
	}
	if u.Cert != "" && !isDigest(u.Cert) {
		return nil, usage.Errorf("%s: cert= must be a SHA-256 in hexadecimal", Redact(text))
	}
	return u, nil
}

// Loopback reports whether a HOST:PORT is on this host alone.
func Loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String is the URL with its token.
func (u *URL) String() string {
	out := url.URL{Scheme: plainScheme, Host: strings.Join(u.Hosts, ",")}
	if u.TLS {
		out.Scheme = tlsScheme
	}
	switch {
	case u.Team != "":
		out.User = url.UserPassword(u.Team, u.Token)
	case u.Token != "":
		out.User = url.User(u.Token)
	}
	if u.Cert != "" {
		out.RawQuery = "cert=" + u.Cert
	}
	return out.String()
}

var (
	token   = regexp.MustCompile(`((?:nats|tls)://)[^@/\s]+@`)
	anyUser = regexp.MustCompile(`(://)[^@/\s]+@`)
)

// Redact hides the token of each URL in a text.
func Redact(text string) string { return token.ReplaceAllString(text, "${1}TOKEN@") }

// RedactAll hides the token of each URL in a command line.
func RedactAll(line []string) []string {
	out := make([]string, len(line))
	for i, word := range line {
		out[i] = Redact(word)
	}
	return out
}

// servers are the addresses as the client library takes them.
func (u *URL) servers() string {
	var out []string
	for _, host := range u.Hosts {
		out = append(out, plainScheme+"://"+host)
	}
	return strings.Join(out, ",")
}

// tls returns the settings of the connection. A certificate that is named by its digest needs no authority.
func (u *URL) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	if u.Cert == "" {
		return c
	}
	c.InsecureSkipVerify = true // VerifyConnection compares the certificate itself
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || subtle.ConstantTimeCompare([]byte(Fingerprint(s.PeerCertificates[0])),
			[]byte(u.Cert)) != 1 {
			return errors.New("the server's certificate is not the one that the URL names (cert=)")
		}
		return nil
	}
	return c
}

// Fingerprint is the SHA-256 of a certificate.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// explain says what to do about a failed connection.
func (u *URL) explain(err error) error {
	return fmt.Errorf("connect to the farm at %s: %w", strings.Join(u.Hosts, ", "), err)
}
