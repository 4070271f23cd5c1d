package audit

import (
	"bytes"
	"encoding/json"
	"time"
)

// Reconcile compares the findings that the record holds for a scope with an assessment of the same scope and returns
// the changes that bring the record up to date. It is pure; held may be in any order, the changes are in the order in
// which people get them.
//
//	held      assessed   becomes
//	-         wrong      opened
//	resolved  wrong      reopened
//	open      wrong      escalated or eased (severity), updated (evidence), or nothing
//	acked     wrong      unacknowledged where the acknowledgement expired or what it was given for changed
//	any       unknown    nothing: unknown is neither better nor worse
//	open      waiting    nothing: a condition that came back within its grace period is still there
//	open      fine       resolved
func Reconcile(held []Finding, a Assessment, now time.Time) []Change {
	before := map[string]Finding{}
	for _, f := range held {
		before[Key(f.Rule, f.Subject)] = f
	}
	keep := map[string]bool{}
	for _, u := range a.Unknowns {
		keep[Key(u.Rule, u.Subject)] = true
	}
	for _, w := range a.Waiting {
		keep[Key(w.Rule, w.Subject)] = true
	}

	var changes []Change
	orderFindings(a.Findings)
	for _, f := range a.Findings {
		key := Key(f.Rule, f.Subject)
		keep[key] = true
		f.LastSeenAt = now
		was, known := before[key]
		if c, ok := transition(was, known, f, now); ok {
			changes = append(changes, c)
		}
	}

	var settled []Finding
	for _, f := range held {
		if f.Status == Resolved || keep[Key(f.Rule, f.Subject)] {
			continue
		}
		at := now
		f.Status, f.ResolvedAt, f.Ack = Resolved, &at, nil
		settled = append(settled, f)
	}
	orderFindings(settled)
	for _, f := range settled {
		changes = append(changes, Change{Transition: Settled, Finding: f})
	}
	return changes
}

// transition says what became of a finding that holds now.
func transition(was Finding, known bool, f Finding, now time.Time) (Change, bool) {
	if !known || was.Status == Resolved {
		f.Status, f.OpenedAt = Open, now
		if known {
			return Change{Transition: Reopened, Finding: f}, true
		}
		return Change{Transition: Opened, Finding: f}, true
	}
	f.Status, f.OpenedAt, f.Ack = was.Status, was.OpenedAt, was.Ack
	if was.Status == Acknowledged {
		switch {
		case was.Ack != nil && was.Ack.expired(now):
			f.Status, f.Ack = Open, nil
			return Change{Transition: AckWithdrawn, Finding: f, Why: ackExpired}, true
		case was.Summary != f.Summary || f.Severity.Rank() < was.Severity.Rank():
			f.Status, f.Ack = Open, nil
			return Change{Transition: AckWithdrawn, Finding: f, Why: "what was acknowledged has changed"}, true
		}
	}
	switch d := f.Severity.Rank() - was.Severity.Rank(); {
	case d < 0:
		return Change{Transition: Escalated, Finding: f}, true
	case d > 0:
		return Change{Transition: Eased, Finding: f}, true
	case !sameFacts(was, f):
		return Change{Transition: Updated, Finding: f}, true
	}
	return Change{}, false
}

// sameFacts reports whether two findings of one key tell a person the same. The instants at which evidence was last
// seen move with every pass and do not count.
func sameFacts(a, b Finding) bool {
	strip := func(f Finding) []byte {
		f.LastSeenAt, f.ResolvedAt, f.Ack, f.Status, f.OpenedAt = time.Time{}, nil, nil, "", time.Time{}
		f.Evidence = append([]Evidence(nil), f.Evidence...)
		for i := range f.Evidence {
			f.Evidence[i].At = time.Time{}
		}
		text, err := json.Marshal(f)
		if err != nil { // a RawMessage that is not JSON: cannot be, and is a difference if it is
			return nil
		}
		return text
	}
	x, y := strip(a), strip(b)
	return x != nil && bytes.Equal(x, y)
}
