package main

import (
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
)

// epoch precedes every release: a file that is verified by hand has no history, so no grace period runs.
var epoch = time.Unix(0, 0).UTC()

// printVerdict prints verify's answer for people.
func (a *app) printVerdict(x *verifyAnswer) {
	name := x.File
	if name == "" {
		name = "sha256:" + x.SHA256
	}
	line(a.stdout, "%s: %s", name, x.Verdict)
	for _, r := range x.Reasons {
		line(a.stdout, "  %s", r)
	}
	if x.Grade != "" {
		line(a.stdout, "  published by grade %s", x.Grade)
	}
	for i, at := range x.Attestations {
		line(a.stdout, "%s %d: %s %s", x.Kind, i+1, at.Status, at.PredicateType)
		if at.Identity != nil {
			line(a.stdout, "  signed by %s", at.Identity.Describe())
		}
		if !at.SignedAt.IsZero() {
			line(a.stdout, "  at %s", when(at.SignedAt))
		}
		for _, e := range at.Entries {
			line(a.stdout, "  logged in %s at %d (global index %d)", e.Origin, e.Index, e.GlobalIndex)
		}
		line(a.stdout, "  identity judged by %s", at.JudgedBy)
		a.printChecks(at.Checks)
	}
}

// printChecks prints a verification's checks, one a line.
func (a *app) printChecks(checks []attest.Check) {
	for _, c := range checks {
		text := c.Detail
		if c.Got != "" || c.Want != "" {
			text += " (got " + c.Got + ", want " + c.Want + ")"
		}
		line(a.stdout, "    %-11s %s%s", c.Status, c.Name, because(text))
	}
}
