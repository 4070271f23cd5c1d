package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// Status is where a finding stands.
type Status string

// The statuses of a finding.
const (
	Open         Status = "open"
	Acknowledged Status = "acknowledged"
	Resolved     Status = "resolved"
)

// Subject is what a finding is about. The finding's key is made of its rule and its subject, so that the same
// problem is one finding however often it is seen.
type Subject struct {
	// Project is the configured project's name.
	Project string `json:"project,omitempty"`
	// Index and PyPIProject name the project on its index ("pypi", "onnx").
	Index       string `json:"index,omitempty"`
	PyPIProject string `json:"pypi_project,omitempty"`
	// Release is a PEP 440 version, File a distribution filename, SHA256 its digest in hex (for a project: the
	// digest of the state that the finding is about).
	Release string `json:"release,omitempty"`
	File    string `json:"file,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	// LogOrigin names a log; LogIndex an entry in it, where LeafHash is its RFC 6962 leaf hash in hex.
	LogOrigin string `json:"log_origin,omitempty"`
	LogIndex  uint64 `json:"log_index,omitempty"`
	LeafHash  string `json:"leaf_hash,omitempty"`
	// Certificate names a certificate by its TBS without poison and SCTs (hex SHA-256), whether it was met as a
	// precertificate, in an entry or in a bundle.
	Certificate string `json:"certificate_tbs_sha256,omitempty"`
	// Grade is a grade of the project's that did not show when it was due. TrustedRoot is the URL or path that a trusted root
	// comes from.
	Grade       string `json:"grade,omitempty"`
	TrustedRoot string `json:"trusted_root,omitempty"`
	// Job names all that one signer signed in one run: the run, who signed, and the environment.
	Job string `json:"job,omitempty"`
	// Channel names a channel of the monitor's own.
	Channel string `json:"channel,omitempty"`
}

// String names the subject in one line; equal subjects have equal strings.
func (s Subject) String() string {
	switch {
	case s.TrustedRoot != "":
		return "trusted root " + s.TrustedRoot
	case s.Grade != "" && s.PyPIProject != "":
		return fmt.Sprintf("%s: project %s/%s grade %s", s.Project, s.Index, s.PyPIProject, s.Grade)
	case s.Grade != "":
		return fmt.Sprintf("%s: grade %s", s.Project, s.Grade)
	case s.Job != "":
		return fmt.Sprintf("%s: job %s", s.Project, s.Job)
	case s.Channel != "":
		return "channel " + s.Channel
	case s.Certificate != "":
		return fmt.Sprintf("%s: certificate tbs-sha256:%s", s.Project, s.Certificate)
	case s.LeafHash != "":
		return fmt.Sprintf("log %s: entry %d leaf:%s", s.LogOrigin, s.LogIndex, s.LeafHash)
	case s.LogOrigin != "":
		return "log " + s.LogOrigin
	case s.File != "":
		return fmt.Sprintf("%s: file %s/%s/%s sha256:%s", s.Project, s.Index, s.PyPIProject, s.File, s.SHA256)
	case s.Release != "":
		return fmt.Sprintf("%s: release %s/%s %s", s.Project, s.Index, s.PyPIProject, s.Release)
	case s.SHA256 != "":
		return fmt.Sprintf("%s: project %s/%s sha256:%s", s.Project, s.Index, s.PyPIProject, s.SHA256)
	default:
		return fmt.Sprintf("%s: project %s/%s", s.Project, s.Index, s.PyPIProject)
	}
}

// LogRef names a log entry by its log's origin and its index in that tree; GlobalIndex is Rekor v1's.
type LogRef struct {
	Origin      string `json:"origin"`
	Index       int64  `json:"index"`
	GlobalIndex int64  `json:"global_index,omitempty"`
}

// IdentityRef is the part of an identity that a finding shows.
type IdentityRef struct {
	SAN        string `json:"san"`
	Issuer     string `json:"issuer"`
	Repository string `json:"repository,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Trigger    string `json:"trigger,omitempty"`
	Run        string `json:"run,omitempty"`
	// Commit is what was built, in hex.
	Commit string `json:"commit,omitempty"`
}

// identityRef shortens an identity for a finding.
func identityRef(id *identity.Identity) *IdentityRef {
	if id == nil {
		return nil
	}
	return &IdentityRef{SAN: id.SAN, Issuer: id.Issuer, Repository: id.Repository(), Workflow: id.Workflow(),
		Ref: id.Ref(), Trigger: id.BuildTrigger, Run: id.RunInvocationURI, Commit: id.Commit()}
}

// Evidence is one piece of what a finding rests on. Documents are named by their digest and kept in the record;
// small pieces are carried in Data.
type Evidence struct {
	// Kind is "listing-entry", "provenance", "previous-provenance", "attestation", "bundle", "store-answer", "repository",
	// "certificate-ids", "project-status", "ownership", "log-entry", "log-incident", "ct-lookup", "search", "canary", "backlog",
	// "trusted-root" or "error".
	Kind string `json:"kind"`
	// URL is where it came from, At when it was seen.
	URL string    `json:"url,omitempty"`
	At  time.Time `json:"at,omitzero"`
	// SHA256 names a document in the record, in hex.
	SHA256 string `json:"sha256,omitempty"`
	// Bundle and Attestation are positions inside a provenance document.
	Bundle      int `json:"bundle,omitempty"`
	Attestation int `json:"attestation,omitempty"`
	// Check and Detail say which check failed, and with which values.
	Check  string          `json:"check,omitempty"`
	Detail string          `json:"detail,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Finding is something that does not add up.
type Finding struct {
	ID       string   `json:"id"`
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Status   Status   `json:"status"`
	Subject
	Log      *LogRef      `json:"log,omitempty"`
	Identity *IdentityRef `json:"identity,omitempty"`
	Summary  string       `json:"summary"`
	Expected string       `json:"expected,omitempty"`
	Advice   string       `json:"advice"`
	Evidence []Evidence   `json:"evidence,omitempty"`

	OpenedAt   time.Time  `json:"opened_at"`
	LastSeenAt time.Time  `json:"last_seen_at"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty"`
	Ack        *Ack       `json:"acknowledged,omitempty"`
}

// Ack is an acknowledgement: who knows about a finding, why it is acceptable, and until when.
type Ack struct {
	By    string     `json:"by"`
	Why   string     `json:"why"`
	At    time.Time  `json:"at"`
	Until *time.Time `json:"until,omitempty"`
}

// expired reports whether an acknowledgement has ended.
func (a *Ack) expired(now time.Time) bool { return a.Until != nil && !now.Before(*a.Until) }

// ackExpired is why an acknowledgement that has ended is taken back.
const ackExpired = "the acknowledgement expired"

// Key is the stable name of rule and subject.
func Key(rule string, s Subject) string { return rule + "|" + s.String() }

// FindingID derives a finding's id from its key: "f-" and 12 hex digits, enough that two findings of one
// record do not meet (2^48).
func FindingID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "f-" + hex.EncodeToString(sum[:6])
}

// Transition is what happened to a finding.
type Transition string

// The transitions of a finding.
const (
	Opened       Transition = "opened"
	Escalated    Transition = "escalated"      // its severity rose
	Eased        Transition = "eased"          // its severity fell
	AckGiven     Transition = "acknowledged"   // by a person
	AckWithdrawn Transition = "unacknowledged" // by a person, or because it expired
	Settled      Transition = "resolved"
	Reopened     Transition = "reopened"
	Reminded     Transition = "reminded" // it is still open, and nobody acknowledged it
	Updated      Transition = "updated"  // same problem, new facts: not announced
)

// Announced reports whether people are told of the transition.
func (t Transition) Announced() bool { return t != Updated && t != Eased }

// Change is one transition of one finding; Finding is its state after it.
type Change struct {
	Transition Transition
	Finding    Finding
	// By and Why are set where a person did it.
	By, Why string
}
