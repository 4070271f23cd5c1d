package fetch

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Allow says which URLs may be asked.
type Allow struct {
	// Hosts are those that the configuration names, "HOST" for any port, "HOST:PORT", or "*.DOMAIN" for all hosts below a
	// domain.
	Hosts []string
	// HTTP are the hosts that may be asked in plain http. Loopback addresses may be, where Hosts has them.
	HTTP []string
}

// check reports why a URL may not be asked.
func (a Allow) check(u *url.URL) error {
	deny := func(format string, args ...any) error {
		return &NotAllowedError{URL: redact(u), Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return deny("its scheme is not https")
	case u.Hostname() == "":
		return deny("it names no host")
	case u.User != nil:
		return deny("it has user information in it")
	case !names(a.Hosts, u):
		return deny("the configuration names no such host")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !names(a.HTTP, u):
		return deny("plain http is for loopback only; add the host to allow_http to change that")
	}
	return nil
}

// names reports whether a list has a URL's host.
func names(list []string, u *url.URL) bool {
	host, name := strings.ToLower(u.Host), strings.ToLower(u.Hostname())
	return slices.ContainsFunc(list, func(h string) bool {
		h = strings.ToLower(h)
		below, wild := strings.CutPrefix(h, "*")
		return h == host || h == name || wild && strings.HasPrefix(below, ".") && strings.HasSuffix(name, below) && name != below
	})
}

// loopback reports whether a host is this machine, by its name alone.
func loopback(name string) bool {
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// newTransport is the default transport: HTTP/2, keep-alive, proxies from the environment.
//
// It connects to whatever address a name resolves to, one inside the machine's own network included: every name that
// gets here stands in the configuration, private deployments have such addresses, and a public name that was made to
// resolve to one (DNS rebinding) fails at TLS, since nobody inside has its certificate.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    32, // a reader in parallel that comes back for more is not to shake hands again
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
