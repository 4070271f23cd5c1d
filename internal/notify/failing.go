package notify

import (
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// Assess judges the channels by what a pass over the outbox did: one that has taken nothing for longer than the grace period
// of the rule delivery-failing is a finding. It is pure. deliveries are those of all channels that there are, so that what is
// not among them is over.
func Assess(deliveries []Delivery, rules audit.RuleSet, now time.Time) audit.Assessment {
	var a audit.Assessment
	rule := rules[audit.DeliveryFailing]
	for _, d := range deliveries {
		if d.FailingSince.IsZero() || d.Pending == 0 {
			continue
		}
		s := audit.Subject{Channel: d.Channel}
		if until := d.FailingSince.Add(rule.Grace); now.Before(until) {
			a.Waiting = append(a.Waiting, audit.Waiting{Rule: rule.ID, Subject: s, Until: until})
			continue
		}
		// The summary has nothing that moves: what was acknowledged stays so until it changes.
		a.Findings = append(a.Findings, audit.Finding{ID: audit.FindingID(audit.Key(rule.ID, s)), Rule: rule.ID, Severity: rule.Severity, Subject: s,
			Summary: fmt.Sprintf("channel %s has not taken an alert since %s", d.Channel, instant(d.FailingSince)),
			Advice:  rule.Advice, Evidence: []audit.Evidence{{Kind: "error", At: now, Detail: d.Problem}}})
	}
	return a
}

// Working names the channels that a pass had no trouble with: those are told of the others'.
func Working(deliveries []Delivery) []string {
	var names []string
	for _, d := range deliveries {
		if d.FailingSince.IsZero() {
			names = append(names, d.Channel)
		}
	}
	return names
}
