package config

import (
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	pep440 "github.com/aquasecurity/go-pep440-version"
)

// Each kind of single value has its type, so that the schema can tell their patterns and each is
// parsed in one place. Parsing reports what is wrong and returns false then; what was not given, or
// was reported by the decoder, is false without a report.
type (
	pathText     struct{ word }
	urlText      struct{ word }
	issuerText   struct{ word }
	contactText  struct{ word }
	hostText     struct{ word }
	rateText     struct{ word }
	durationText struct{ word }
	nameText     struct{ word }
	pypiText     struct{ word }
	versionText  struct{ word }
	dateText     struct{ word }
	severityText struct{ word }
	secretText   struct{ word }
)

// The patterns of single values, for the decoder and the schema; valid in RE2 and in ECMA 262.
const (
	durationPattern = `^([0-9]+d|([0-9]+(\.[0-9]+)?(h|m|s))+)$`
	ratePattern     = `^([0-9]+)/(s|min|hour|day)$`
	namePattern     = `^[A-Za-z0-9][A-Za-z0-9._-]*$`
	indexPattern    = `^[a-z0-9][a-z0-9-]*$`
	pypiPattern     = `^([a-z0-9][a-z0-9-]*/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
	hostPattern     = `^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`
	datePattern     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.*)?$`
	variablePattern = `^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`
)

const (
	day         = 24 * time.Hour
	maxDuration = 3650 * day
	maxRequests = 1_000_000
)

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

func (v durationText) parse(r *reporter) (time.Duration, bool) {
	const advice = "write a duration such as 90m, 168h or 7d"
	switch {
	case !v.given():
		return 0, false
	case strings.HasPrefix(v.text, "-"):
		r.report(v.position, advice, "%q is negative", v.text)
		return 0, false
	case !matches(durationPattern, v.text):
		r.report(v.position, advice, "%q is not a duration", v.text)
		return 0, false
	}
	var length time.Duration
	if days, ok := strings.CutSuffix(v.text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n > int(maxDuration/day) {
			n = int(maxDuration/day) + 1
		}
		length = time.Duration(n) * day
	} else {
		parsed, err := time.ParseDuration(v.text)
		if err != nil {
			parsed = maxDuration + 1
		}
		length = parsed
	}
	if length > maxDuration {
		r.report(v.position, advice, "%q is longer than %s", v.text, durationString(maxDuration))
		return 0, false
	}
	return length, true
}

// durationString writes a duration the way that people do: "168h", not "168h0m0s".
func durationString(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// rateUnit is one of the units that a budget may be counted in.
type rateUnit struct {
	name string
	per  time.Duration
}

func rateUnits() []rateUnit {
	return []rateUnit{{"s", time.Second}, {"min", time.Minute}, {"hour", time.Hour}, {"day", day}}
}

func (v rateText) parse(r *reporter) (Budget, bool) {
	const advice = "write a number and a unit: 5/s, 60/min, 60/hour or 1000/day"
	if !v.given() {
		return Budget{}, false
	}
	match := regexp.MustCompile(ratePattern).FindStringSubmatch(v.text)
	if match == nil {
		r.report(v.position, advice, "%q is not a budget", v.text)
		return Budget{}, false
	}
	n, err := strconv.Atoi(match[1])
	if err != nil || n < 1 || n > maxRequests {
		r.report(v.position, advice, "%q is not between 1 and %d requests", v.text, maxRequests)
		return Budget{}, false
	}
	units := rateUnits()
	i := slices.IndexFunc(units, func(u rateUnit) bool { return u.name == match[2] })
	return Budget{Requests: n, Per: units[i].per}, true
}

// String writes a budget as the configuration does: "60/min".
func (b Budget) String() string {
	for _, unit := range rateUnits() {
		if unit.per == b.Per {
			return strconv.Itoa(b.Requests) + "/" + unit.name
		}
	}
	return strconv.Itoa(b.Requests) + "/" + b.Per.String()
}

// parse returns a version as it was written, if PEP 440 knows it.
func (v versionText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	if _, err := pep440.Parse(v.text); err != nil {
		r.report(v.position, "write a version such as 1.19.0", "%q is not a version (PEP 440)", v.text)
		return "", false
	}
	return v.text, true
}

func (v dateText) parse(r *reporter) (time.Time, bool) {
	if !v.given() {
		return time.Time{}, false
	}
	if t, ok := parseDate(v.text); ok {
		return t, true
	}
	r.report(v.position, "write a day such as 2025-08-01 or an instant such as 2025-08-01T12:00:00Z", "%q is not a date", v.text)
	return time.Time{}, false
}

func parseDate(text string) (time.Time, bool) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// dateString writes a day without a time.
func dateString(t time.Time) string {
	if t.Equal(t.Truncate(day)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

func (v nameText) parse(r *reporter) (string, bool) {
	if v.given() && !matches(namePattern, v.text) {
		r.report(v.position, "use letters, digits, dots, dashes and underscores", "%q is not a name", v.text)
		return "", false
	}
	return v.text, v.given()
}

// parse returns a host in lower case, with its port where one was given.
func (v hostText) parse(r *reporter) (string, bool) { return v.word.host(r) }

func (w word) host(r *reporter) (string, bool) {
	if !w.given() {
		return "", false
	}
	if u, err := url.Parse("https://" + w.text); err == nil && matches(hostPattern, w.text) && validPort(u) {
		return strings.ToLower(w.text), true
	}
	advice := "write a host such as pypi.org or 127.0.0.1:8080"
	if u, err := url.Parse(w.text); err == nil && matches(hostPattern, u.Host) {
		advice = "write the host alone: " + strings.ToLower(u.Host)
	}
	r.report(w.position, advice, "%q is not a host", w.text)
	return "", false
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	_, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil
}

// parse returns a URL without a trailing slash. Plain http is for loopback addresses and for the
// hosts in allowHTTP.
func (v urlText) parse(r *reporter, allowHTTP []string) (string, bool) {
	const advice = "write a URL such as https://pypi.org"
	if !v.given() {
		return "", false
	}
	u, err := url.Parse(v.text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || !matches(hostPattern, u.Host) || !validPort(u):
		r.report(v.position, advice, "%q is not an https URL", v.text)
		return "", false
	case u.User != nil:
		// The value is not repeated: it may hold a password.
		r.report(v.position, "remove what stands before the @", "holds a user name")
		return "", false
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(v.text, "#"):
		r.report(v.position, "remove what follows the path", "%q has a query or a fragment", v.text)
		return "", false
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && !slices.Contains(allowHTTP, strings.ToLower(u.Host)) && !slices.Contains(allowHTTP, strings.ToLower(u.Hostname())):
		r.report(v.position, "use https, or list the host in allow_http", "%q is plain http", v.text)
		return "", false
	}
	u.Host = strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), true
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// parse returns an issuer exactly as it was written: it is compared byte for byte.
func (v issuerText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	u, err := url.Parse(v.text)
	if err != nil || u.Scheme != "https" || !matches(hostPattern, u.Host) || u.User != nil || strings.HasSuffix(v.text, "/") {
		r.report(v.position, "write it as certificates have it, such as https://token.actions.githubusercontent.com", "%q is not an issuer", v.text)
		return "", false
	}
	return v.text, true
}

func (v contactText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	// White space, parentheses and the like would break the user agent's comment that it stands in.
	if matches(`^[!-'*-~]+$`, v.text) {
		if u, err := url.Parse(v.text); err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil {
			return v.text, true
		}
		if a, err := mail.ParseAddress(v.text); err == nil && a.Address == v.text {
			return v.text, true
		}
	}
	r.report(v.position, "write an https URL or an e-mail address", "%q cannot be written to", v.text)
	return "", false
}

// path resolves a relative path against the configuration's folder.
func (r *resolver) path(v pathText) string {
	switch {
	case !v.given():
		return ""
	case strings.HasPrefix(v.text, "~"):
		r.report(v.position, "write the whole path", "%q begins with ~, which only a shell knows", v.text)
		return ""
	case strings.HasPrefix(v.text, "file:"):
		r.report(v.position, "write the path alone", "%q is a URI", v.text)
		return ""
	case filepath.IsAbs(v.text) || r.folder == "":
		return filepath.Clean(v.text)
	}
	return filepath.Join(r.folder, v.text)
}
