package config

import (
	"cmp"
	"net"
	"strconv"

	"github.com/rekoncile/rekoncile/internal/schedule"
)

// Schedules say when the daemon does what, in UTC.
type Schedules struct {
	// Follow is when the logs are read, Audit when the releases are checked.
	Follow, Audit schedule.Schedule
}

const (
	defaultFollow = "@every 5m"
	defaultAudit  = "17 * * * *"
	defaultListen = "127.0.0.1:8080"
	listenOff     = "off"
)

type (
	scheduleText struct{ word }
	listenText   struct{ word }
)

type rawSchedules struct {
	At     position     `yaml:"-"`
	Follow scheduleText `yaml:"follow" jsonschema_description:"When the logs are read: five fields as cron has them, six with seconds, or \"@every 5m\", in UTC; @every 5m by default."`
	Audit  scheduleText `yaml:"audit" jsonschema_description:"When the releases are checked; 17 * * * * by default."`
}

// schedules resolves the schedules mapping; nil is one that is not there.
func (r *resolver) schedules(raw *rawSchedules) Schedules {
	if raw == nil {
		raw = &rawSchedules{}
	}
	return Schedules{Follow: raw.Follow.parse(r.reporter, defaultFollow), Audit: raw.Audit.parse(r.reporter, defaultAudit)}
}

// parse reads a schedule, or takes the default.
func (v scheduleText) parse(r *reporter, otherwise string) schedule.Schedule {
	if v.given() {
		s, err := schedule.Parse(v.text)
		if err == nil {
			return s
		}
		r.report(v.position, `write "17 * * * *" for 17 minutes past every hour, or "@every 5m"`, "%q: %v", v.text, err)
	}
	return schedule.Must(otherwise)
}

// parse reads the address that the daemon listens at: HOST:PORT, "" for off.
func (v listenText) parse(r *reporter) string {
	switch host, port, err := net.SplitHostPort(cmp.Or(v.text, defaultListen)); {
	case v.text == listenOff:
		return ""
	case !v.given():
		return defaultListen
	default:
		if n, badPort := strconv.ParseUint(port, 10, 16); err != nil || badPort != nil || host == "" || n > 65535 {
			r.report(v.position, "write 127.0.0.1:8080, or off", "%q is not HOST:PORT", v.text)
		}
		return v.text
	}
}

type shownSchedules struct {
	Follow string `yaml:"follow"`
	Audit  string `yaml:"audit"`
}

func showSchedules(s Schedules) shownSchedules {
	return shownSchedules{Follow: cmp.Or(s.Follow.String(), defaultFollow), Audit: cmp.Or(s.Audit.String(), defaultAudit)}
}

func showListen(address string) string { return cmp.Or(address, listenOff) }
