package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// Message is one change of one finding on its way to one channel.
type Message struct {
	ID         int64
	Finding    audit.Finding // as it was after the change
	Transition audit.Transition
	At         time.Time
	By, Why    string
	// Told says that the channel took an earlier message about the finding.
	Told bool
	// History says that the finding was opened when its project was first looked at, and is about what was there already.
	History bool
	// Lead is the message in whose parcel this one was attempted to be sent, and Form that parcel's form; 0 and "" before the
	// first attempt. A parcel that was attempted is sent again as it was, so that the channel can tell it from another.
	Lead int64
	Form Form
	// Attempts counts the attempts so far. AttemptedAt is set where the last one may have taken effect.
	Attempts      int
	AttemptedAt   time.Time
	NextAttemptAt time.Time
	// FailingSince is the first of the attempts that failed; zero where none did.
	FailingSince time.Time
}

// Repeat reports whether the channel may have the message already.
func (m Message) Repeat() bool { return !m.AttemptedAt.IsZero() }

// Form is the form in which changes are told.
type Form string

// The forms of a parcel.
const (
	Single  Form = "single"  // one change of one finding
	Group   Form = "group"   // the same change of findings that one rule has about files of one release
	Digest  Form = "digest"  // whatever goes beyond what the channel is sent in an hour
	Summary Form = "summary" // what a first look at a project with a history found
)

// Parcel is what a channel is sent at once: one message, or several that belong together.
type Parcel struct {
	Form Form
	// Messages are what it tells, in the order in which they were written; never empty.
	Messages []Message
	// Thread is the channel's own name for where the finding was told first, "" where it was not, or the channel has no threads.
	Thread string
	// Root is what that first message tells by now, where there is a thread.
	Root []Message
}

// Lead is the message that the parcel is named after.
func (p Parcel) Lead() Message { return p.Messages[0] }

// ID names the parcel in every attempt to send it, so that a receiver can tell a repeat. It is the same on every channel.
func (p Parcel) ID() string {
	m := p.Lead()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d|%s|%d", m.Finding.ID, m.Transition, m.At.UnixMicro(), p.Form, len(p.Messages)))
	return "msg_" + hex.EncodeToString(sum[:12])
}

// Repeat reports whether the channel may have the parcel already.
func (p Parcel) Repeat() bool { return slices.ContainsFunc(p.Messages, Message.Repeat) }

// Severity is that of the most urgent finding in it.
func (p Parcel) Severity() audit.Severity {
	return slices.MinFunc(p.Messages, func(a, b Message) int {
		return cmp.Compare(a.Finding.Severity.Rank(), b.Finding.Severity.Rank())
	}).Finding.Severity
}

// Notice is what a parcel says, in no channel's syntax. All texts that come from outside have passed visible, so that they
// have no control or formatting characters; what else a channel gives a meaning to, it escapes itself.
type Notice struct {
	ID       string
	Severity audit.Severity
	// Title is what happened, how urgent it is; Sentence the same in a sentence about this case.
	Title, Sentence string
	Facts           []Fact
	// Items are the findings of a parcel that tells several, at most maxItems; More counts the rest.
	Items []Item
	More  int
	// Links lead to fixed hosts, and are built here from checked parts. Their labels are ours.
	Links []Link
	// Advice is what to do; "" where nothing is.
	Advice string
	// Command shows the evidence.
	Command string
	// Foot has the ids, the time, and whether this may be a repeat.
	Foot string
	// Resolved says that there is nothing to do any more.
	Resolved bool
	// Decide are the ids of the findings that a person may acknowledge where it is told.
	Decide []string
}

// Fact is a named value.
type Fact struct{ Name, Value string }

// Item is one finding of several.
type Item struct{ ID, Text string }

// Link is a place to look at.
type Link struct {
	Label string `json:"label"`
	URL   string `json:"url"`
}

// maxItems bounds the findings that a message lists. What goes beyond is counted, and `monitor findings` lists it.
const maxItems = 40

// Notice says in words what the parcel tells.
func (p Parcel) Notice() Notice {
	n := Notice{ID: p.ID(), Severity: p.Severity()}
	switch p.Form {
	case Digest, Summary:
		p.overview(&n)
	case Group:
		p.group(&n)
	default:
		p.single(&n)
	}
	if p.Form == Single || p.Form == Group {
		for _, m := range p.Messages {
			if m.Finding.Status == audit.Open {
				n.Decide = append(n.Decide, m.Finding.ID)
			}
		}
	}
	if p.Repeat() {
		n.Foot += " (sent again: an earlier attempt may have arrived)"
	}
	return n
}

// Title is a message's first line: what happened, how urgent it is.
func (m Message) Title() string {
	return fmt.Sprintf("%s: %s (%s)", word(m.Transition), visible(m.Finding.Rule), m.Finding.Severity)
}

// word is a transition in the words of a title.
func word(t audit.Transition) string {
	switch t {
	case audit.Opened:
		return "New finding"
	case audit.Reopened:
		return "Finding is back"
	case audit.Escalated:
		return "Finding is more urgent"
	case audit.Reminded:
		return "Still open"
	case audit.Settled:
		return "Resolved"
	case audit.AckGiven:
		return "Acknowledged"
	case audit.AckWithdrawn:
		return "No longer acknowledged"
	}
	return string(t)
}

// single is one change of one finding.
func (p Parcel) single(n *Notice) {
	m := p.Lead()
	f := m.Finding
	n.Title, n.Sentence = m.Title(), visible(f.Summary)
	if f.Identity != nil {
		n.fact("Signed by", f.Identity.SAN)
	}
	n.fact("Expected", f.Expected)
	n.about(f)
	n.fact("SHA-256", f.SHA256)
	n.decided(m)
	n.Links = links(f)
	n.advise(f)
	n.Command = "monitor explain " + f.ID
	n.Foot = fmt.Sprintf("%s at %s. Evidence: %s", f.ID, instant(m.At), n.Command)
}

// group is the same change of several findings of one release.
func (p Parcel) group(n *Notice) {
	m := p.Lead()
	f := m.Finding
	n.Title = fmt.Sprintf("%s: %s (%s), %d files", word(m.Transition), visible(f.Rule), n.Severity, len(p.Messages))
	n.Sentence = fmt.Sprintf("%s %s, %d files. %s", visible(f.PyPIProject), visible(f.Release), len(p.Messages), visible(sentence(f.Rule)))
	// What only one of them has would say too much of the others.
	f.File, f.Identity, f.Log = "", common(p.Messages, func(f audit.Finding) *audit.IdentityRef { return f.Identity }), common(p.Messages, func(f audit.Finding) *audit.LogRef { return f.Log })
	if f.Identity != nil {
		n.fact("Signed by", f.Identity.SAN)
	}
	if expected := common(p.Messages, func(f audit.Finding) *string { return &f.Expected }); expected != nil {
		n.fact("Expected", *expected)
	}
	n.about(f)
	n.decided(m)
	n.list(p.Messages, func(m Message) string { return m.Finding.Summary })
	n.Links = links(f)
	n.advise(f)
	n.Command = visible("monitor findings --rule " + f.Rule + " --project " + f.Project)
	n.Foot = fmt.Sprintf("%s at %s. Evidence: monitor explain %s", plural(len(p.Messages), "finding"), instant(m.At), f.ID)
}

// overview is a digest, or the summary of a first look.
func (p Parcel) overview(n *Notice) {
	all := slices.Clone(p.Messages)
	slices.SortStableFunc(all, func(a, b Message) int { return cmp.Compare(a.Finding.Severity.Rank(), b.Finding.Severity.Rank()) })
	counts := map[string]int{}
	var kinds []string
	for _, m := range all {
		kind := fmt.Sprintf("%s %s, %s", m.Finding.Severity, visible(m.Finding.Rule), strings.ToLower(word(m.Transition)))
		if counts[kind]++; counts[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	if p.Form == Summary {
		n.Title = fmt.Sprintf("First look: %s (%s)", plural(len(all), "finding"), n.Severity)
		n.Sentence = fmt.Sprintf("%s was looked at for the first time. What its history holds is told here once; what is new from now on is told one by one.", visible(p.Lead().Finding.Project))
	} else {
		n.Title = fmt.Sprintf("Digest: %s (%s)", plural(len(all), "change"), n.Severity)
		n.Sentence = "More happened than this channel is sent one by one in an hour."
	}
	const most = 8
	for i, kind := range kinds {
		if i == most {
			n.fact("Others", plural(len(kinds)-most, "kind"))
			break
		}
		n.fact(kind, fmt.Sprint(counts[kind]))
	}
	n.list(all, func(m Message) string {
		return fmt.Sprintf("%s, %s: %s", m.Finding.Severity, strings.ToLower(word(m.Transition)), m.Finding.Summary)
	})
	n.Advice = "Begin with the most urgent: it stands first."
	n.Command = "monitor findings"
	n.Foot = fmt.Sprintf("%s until %s. All of them: %s", plural(len(all), "change"), instant(all[len(all)-1].At), n.Command)
}

// Standing says how the findings of a thread stand now: what the first message there is to show.
func (p Parcel) Standing() Notice {
	if len(p.Root) == 0 {
		return p.Notice()
	}
	if len(p.Root) == 1 {
		return Parcel{Form: Single, Messages: p.Root}.Notice()
	}
	group := Parcel{Form: Group, Messages: p.Root}
	n := group.Notice()
	open := 0
	for i, m := range p.Root {
		if m.Finding.Status == audit.Open {
			open++
		} else if i < len(n.Items) {
			n.Items[i].Text = string(m.Finding.Status) + ": " + n.Items[i].Text
		}
	}
	n.Title = fmt.Sprintf("%s (%s): %d of %d open", visible(p.Root[0].Finding.Rule), n.Severity, open, len(p.Root))
	if n.Resolved = open == 0; n.Resolved {
		n.Advice = ""
	}
	return n
}

// Over reports whether nothing that the thread is about is left to do.
func (p Parcel) Over() bool {
	all := p.Root
	if len(all) == 0 {
		all = p.Messages
	}
	return !slices.ContainsFunc(all, func(m Message) bool { return m.Finding.Status != audit.Resolved })
}

// Loud reports whether people should hear of it who do not follow the thread.
func (p Parcel) Loud() bool {
	switch p.Lead().Transition {
	case audit.Escalated, audit.Reopened, audit.Reminded, audit.AckWithdrawn:
		return true
	}
	return false
}

// fact adds a fact, unless it is empty.
func (n *Notice) fact(name, value string) {
	if value != "" {
		n.Facts = append(n.Facts, Fact{name, visible(value)})
	}
}

// about adds what a finding is about.
func (n *Notice) about(f audit.Finding) {
	n.fact("Project", f.Project)
	n.fact("Release", strings.TrimSpace(f.PyPIProject+" "+f.Release))
	n.fact("File", f.File)
	n.fact("Channel", f.Channel)
	if f.Log != nil {
		n.fact("Log entry", fmt.Sprintf("%s, index %d", f.Log.Origin, f.Log.Index))
	} else {
		n.fact("Log", f.LogOrigin)
	}
}

// decided adds what a person decided, and why the monitor changed what was decided.
func (n *Notice) decided(m Message) {
	n.fact("By", m.By)
	n.fact("Why", m.Why)
	if a := m.Finding.Ack; a != nil && a.Until != nil {
		n.fact("Until", instant(*a.Until))
	}
}

// advise adds what to do, unless it is over.
func (n *Notice) advise(f audit.Finding) {
	if n.Resolved = f.Status == audit.Resolved; !n.Resolved {
		n.Advice = visible(f.Advice)
	}
}

// list adds findings one by one.
func (n *Notice) list(messages []Message, text func(Message) string) {
	for i, m := range messages {
		if i == maxItems {
			n.More = len(messages) - maxItems
			break
		}
		n.Items = append(n.Items, Item{m.Finding.ID, visible(text(m))})
	}
}

// sentence is what a rule means.
func sentence(rule string) string { return audit.NewRuleSet(nil)[rule].Sentence }

// common is what all messages have in common, nil where they differ.
func common[T comparable](messages []Message, of func(audit.Finding) *T) *T {
	first := of(messages[0].Finding)
	for _, m := range messages {
		if own := of(m.Finding); own == nil || first == nil || *own != *first {
			return nil
		}
	}
	return first
}

// instant writes a time for people.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// plural writes "1 finding", "2 findings".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
