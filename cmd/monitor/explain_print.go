package main

import (
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// printExplanation prints a finding with its evidence, and the chains, for people.
func (a *app) printExplanation(x *explainAnswer) {
	if x.Finding != nil {
		a.printFindingExplained(x)
	}
	for i, chain := range x.Chains {
		if i > 0 || x.Finding != nil {
			line(a.stdout, "")
		}
		a.printLink(chain, "", "")
	}
	if x.More {
		line(a.stdout, "more entries show the certificate; `monitor entries --identity` lists them")
	}
	if len(x.History) > 0 {
		line(a.stdout, "")
	}
	for _, e := range x.History {
		by := ""
		if e.By != "" {
			by = " by " + e.By
		}
		line(a.stdout, "%s  %s%s%s", when(e.At), e.Transition, by, because(e.Why))
	}
}

// printFindingExplained prints a finding and what became of its evidence.
func (a *app) printFindingExplained(x *explainAnswer) {
	f := x.Finding
	line(a.stdout, "%s  %s  %s  %s", f.ID, f.Severity, f.Rule, f.Status)
	line(a.stdout, "what:      %s", f.Summary)
	if f.Expected != "" {
		line(a.stdout, "expected:  %s", f.Expected)
	}
	line(a.stdout, "about:     %s", f.Subject)
	line(a.stdout, "meaning:   %s", x.Meaning)
	line(a.stdout, "what to do: %s", f.Advice)
	if f.Identity != nil {
		line(a.stdout, "signed by: %s", f.Identity.SAN)
		line(a.stdout, "           issuer %s, ref %s, trigger %s, run %s", f.Identity.Issuer, f.Identity.Ref, f.Identity.Trigger, f.Identity.Run)
	}
	if f.Log != nil {
		line(a.stdout, "logged:    %s, index %d (global %d)", f.Log.Origin, f.Log.Index, f.Log.GlobalIndex)
	}
	if f.Ack != nil {
		line(a.stdout, "acknowledged by %s: %s", f.Ack.By, f.Ack.Why)
	}
	for i, e := range x.Examinations {
		line(a.stdout, "")
		line(a.stdout, "evidence %d: %s, seen %s, %s", i+1, e.Evidence.Kind, when(e.Evidence.At), e.Evidence.URL)
		if e.Evidence.SHA256 != "" {
			line(a.stdout, "  sha256:%s", e.Evidence.SHA256)
		}
		if e.Evidence.Detail != "" {
			line(a.stdout, "  %s", e.Evidence.Detail)
		}
		if e.Evidence.Data != nil {
			line(a.stdout, "  as served: %s", shortened(e.Evidence.Data))
		}
		word := "looked at again"
		if e.Confirmed {
			word = "confirmed again"
		}
		line(a.stdout, "  %s: %s", word, e.Note)
	}
}

// printLink prints a link as a branch of a tree, with its checks and what hangs on it. first is what stands before its own line,
// rest before all others.
func (a *app) printLink(l audit.Link, first, rest string) {
	line(a.stdout, "%s%-7s  %s %s", first, l.Status, l.Kind, l.Name)
	inner := rest + "│ "
	if len(l.Links) == 0 {
		inner = rest + "  "
	}
	for _, c := range l.Checks {
		line(a.stdout, "%s  %-7s  %s%s", inner, c.Status, c.Name, because(checkText(c)))
	}
	for _, command := range l.WouldAccept {
		line(a.stdout, "%s  note     this would have been accepted by: %s", inner, command)
	}
	for i, below := range l.Links {
		if i == len(l.Links)-1 {
			a.printLink(below, rest+"└─ ", rest+"   ")
		} else {
			a.printLink(below, rest+"├─ ", rest+"│  ")
		}
	}
}

// checkText is what a check found, in one line.
func checkText(c audit.LinkCheck) string {
	parts := []string{}
	if c.Detail != "" {
		parts = append(parts, c.Detail)
	}
	if c.Got != "" || c.Want != "" {
		parts = append(parts, fmt.Sprintf("(got %s, want %s)", c.Got, c.Want))
	}
	if c.Recorded {
		parts = append(parts, "[recorded]")
	}
	return strings.Join(parts, " ")
}

// shortened is what of a document fits a terminal.
func shortened(document []byte) string {
	const most = 2000
	if len(document) <= most {
		return string(document)
	}
	return fmt.Sprintf("%s… (%d bytes, all of them with --json and --export)", strings.ToValidUTF8(string(document[:most]), ""), len(document))
}
