package notify

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// payload is a parcel for machines: what webhooks are sent and a log file has a line of. docs/alerts.md has its schema.
type payload struct {
	// Type is "finding." with a transition for one finding or several of one release, and "findings.digest" or
	// "findings.summary" for many.
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      content   `json:"data"`
}

type content struct {
	// ID is the same in every attempt to send the parcel.
	ID string `json:"id"`
	// Repeat says that an earlier attempt may have arrived.
	Repeat   bool           `json:"repeat"`
	Severity audit.Severity `json:"severity"`
	Title    string         `json:"title"`
	Sentence string         `json:"sentence"`
	Advice   string         `json:"advice,omitempty"`
	Command  string         `json:"command"`
	Links    []Link         `json:"links,omitempty"`
	// Changes are at most maxChanges; More counts the rest.
	Changes []changed `json:"changes"`
	More    int       `json:"more,omitempty"`
}

type changed struct {
	Transition audit.Transition `json:"transition"`
	At         time.Time        `json:"at"`
	By         string           `json:"by,omitempty"`
	Why        string           `json:"why,omitempty"`
	Finding    audit.Finding    `json:"finding"`
}

// maxChanges bounds what a payload tells in full.
const maxChanges = 100

// payload is the parcel for machines. Its findings are as the record has them, without their evidence, which `monitor
// explain` shows; names in them are whatever somebody chose.
func (p Parcel) payload() ([]byte, error) {
	n := p.Notice()
	m := p.Lead()
	kind := "finding." + string(m.Transition)
	if p.Form == Digest || p.Form == Summary {
		kind = "findings." + string(p.Form)
	}
	body := payload{Type: kind, Timestamp: m.At.UTC(), Data: content{ID: p.ID(), Repeat: p.Repeat(), Severity: n.Severity, Title: n.Title, Sentence: n.Sentence,
		Advice: n.Advice, Command: n.Command, Links: n.Links}}
	for i, m := range p.Messages {
		if i == maxChanges {
			body.Data.More = len(p.Messages) - maxChanges
			break
		}
		f := m.Finding
		f.Evidence = nil
		body.Data.Changes = append(body.Data.Changes, changed{m.Transition, m.At.UTC(), m.By, m.Why, f})
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("writing an alert as JSON: %w", err)
	}
	return text, nil
}
