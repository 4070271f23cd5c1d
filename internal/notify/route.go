package notify

import (
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// Route says what a channel is told, and when. The zero Route is everything, at once.
type Route struct {
	// MinSeverity leaves out what is less urgent; "" leaves out nothing.
	MinSeverity audit.Severity
	// Projects and Rules leave out all others; empty ones leave out nothing. What is about no project (a log, the monitor) is
	// left out by Rules only.
	Projects, Rules []string
	// Quiet holds back what is not critical; nil holds back nothing.
	Quiet *Quiet
	// Hourly is how many messages the channel is sent in an hour; what goes beyond is gathered in a digest. 0 is no limit.
	Hourly int
	// Summarize is the number of messages about a project's history above which a channel that knows nothing of the project is sent
	// one summary; 0 is never.
	Summarize int
}

// all reports whether the route leaves nothing out.
func (r Route) all() bool { return r.MinSeverity == "" && len(r.Projects) == 0 && len(r.Rules) == 0 }

// wants reports whether a message is to be sent: what fits the route, and whatever else becomes of a finding that the
// channel was told of. told says that it was.
func (r Route) wants(m Message, told bool) bool {
	f := m.Finding
	switch {
	case r.all(), told, m.Lead != 0:
		return true
	case m.Transition != audit.Opened && m.Transition != audit.Reopened && m.Transition != audit.Escalated && m.Transition != audit.Reminded:
		return false // the end of what the channel knows nothing of
	case r.MinSeverity != "" && !f.Severity.AtLeast(r.MinSeverity):
		return false
	case len(r.Rules) > 0 && !slices.Contains(r.Rules, f.Rule):
		return false
	case len(r.Projects) > 0 && f.Project != "" && !slices.Contains(r.Projects, f.Project):
		return false
	}
	return true
}

// Quiet is a part of the day.
type Quiet struct {
	// From and To are offsets from midnight; where To is before From, it ends the next day.
	From, To time.Duration
	Zone     *time.Location
}

// holds reports whether it is quiet at an instant. Clocks that are set forward or back shift it with the wall clock.
func (q *Quiet) holds(at time.Time) bool {
	if q == nil {
		return false
	}
	local := at.In(q.Zone)
	now := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second
	if q.From <= q.To {
		return q.From <= now && now < q.To
	}
	return now >= q.From || now < q.To
}
