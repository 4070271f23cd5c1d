package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
)

// ShardFacts says whose shard a log is.
type ShardFacts struct {
	// Log is the name of the Rekor v1 as a whole, First the global index of the shard's first entry.
	Log   string
	First uint64
	// Frozen says that another shard has followed it, and EndedAt when that was first seen.
	Frozen  bool
	EndedAt time.Time
}

// Rekor1Facts is what the record holds of a Rekor v1 as a whole, which is read by name.
type Rekor1Facts struct {
	// Size is the number of entries in all shards.
	Size     uint64
	Subject  IndexSupport
	Searches []SearchTally
	// Entries counts those that bundles name by what the log has of them, Gossip the checkpoints of bundles by what they are.
	Entries map[EntryOutcome]int
	Gossip  map[string]int
	// Followed says that all of its shards are followed as well, and Windows are what was read of them otherwise.
	Followed bool
	Windows  []WindowFacts
	// Failing is what could not be found out when it was last tried.
	Failing []Failing
}

// WindowFacts is a window of a shard in the record.
type WindowFacts struct {
	// First is the global index of the shard's first entry.
	First uint64
	// WatchList names the list that its entries were looked at with.
	WatchList string
	Window
}

// SearchTally counts questions of one kind to the search index.
type SearchTally struct {
	Kind string `json:"kind"`
	// Total counts them all, Answered those that were answered, and Failing those whose last attempt was not. Impossible is
	// what no index takes.
	Total      int `json:"total"`
	Answered   int `json:"answered"`
	Failing    int `json:"failing,omitempty"`
	Impossible int `json:"impossible,omitempty"`
	// Hits counts the entries that the last answers named.
	Hits int `json:"hits"`
	// First and Last are the oldest and the newest of the last answers.
	First time.Time `json:"first_answered_at,omitzero"`
	Last  time.Time `json:"last_answered_at,omitzero"`
}

// Failing is a kind of question that is not answered.
type Failing struct {
	What    string // "2 questions to the search index"
	Since   time.Time
	Example string
}

// OpenEntry is an entry that a verified attestation names and of which it is not known that the log has it so.
type OpenEntry struct {
	Origin      string
	Index       uint64
	GlobalIndex uint64
	LeafHash    string
	// File is a file that an attestation is of, URL where the entry can be looked at.
	File, FileSHA256, URL string
	Outcome               EntryOutcome
	Since                 time.Time
	Differences           []rekor.V1Difference
	Failure               string
	// Evidence has both sides.
	Evidence EntryEvidence
}

// EntryEvidence is an entry as a bundle has it, and as the log does. It is stored as JSON.
type EntryEvidence struct {
	Origin      string    `json:"origin"`
	Index       uint64    `json:"index"`
	GlobalIndex uint64    `json:"global_index"`
	LogID       string    `json:"log_id"`
	At          time.Time `json:"integrated_at,omitzero"`
	Body        []byte    `json:"body"`
	// Log and LogBody are the log's, where it has one: nil and empty otherwise.
	Log     *EntryProof `json:"log,omitempty"`
	LogBody []byte      `json:"log_body,omitempty"`
}

// copy is the bundle's side.
func (e EntryEvidence) copy() rekor.V1Copy {
	c := rekor.V1Copy{Body: e.Body, GlobalIndex: e.GlobalIndex, IntegratedTime: e.At, LogID: e.LogID, Index: e.Index}
	_, c.TreeID, c.Proof = rekor.TreeOf(e.Origin)
	return c
}

// standingOf is what is said of a log: of a shard, what is said of the whole too.
func standingOf(l LogFacts, standings map[string]LogStanding) LogStanding {
	standing := standings[l.Origin]
	if l.Shard != nil {
		whole := standings[l.Shard.Log]
		standing.Frozen = standing.Frozen || whole.Frozen || l.Shard.Frozen
		standing.NotFollowed = standing.NotFollowed || whole.NotFollowed
		standing.Why, standing.WatchList = cmp.Or(standing.Why, whole.Why), cmp.Or(standing.WatchList, whole.WatchList)
		if standing.EndedAt.IsZero() {
			standing.EndedAt = whole.EndedAt
		}
	}
	return standing
}

// rekor1 judges what could not be found out of a Rekor v1.
func (j *Judge) rekor1(a *Assessment, l LogFacts, s Subject) {
	if l.Rekor1 == nil || l.NotFollowed {
		return
	}
	for _, f := range l.Rekor1.Failing {
		a.wrong(j, SourceUnreachable, s, f.Since, Finding{
			Summary:  fmt.Sprintf("log %s does not answer %s", l.Origin, f.What),
			Expected: "an answer from the log, of which the proof verifies",
			Evidence: []Evidence{{Kind: "error", URL: l.URL, At: f.Since, Detail: oneLine(f.Example, 500)}},
		})
	}
}

// Entry judges what a log has in the place of an entry that a bundle names.
func (j *Judge) Entry(e OpenEntry) Assessment {
	var a Assessment
	s := Subject{LogOrigin: e.Origin, LogIndex: e.Index, LeafHash: e.LeafHash, File: e.File, SHA256: e.FileSHA256}
	if e.Outcome == EntryUnknown {
		a.unknown(s, "the log was asked for it: "+oneLine(e.Failure, 300), UnloggedAttestation)
		return a
	}
	what := "has nothing at its place, though the tree that it signed is larger"
	if e.Outcome == EntryDiffers {
		var all []string
		for _, d := range e.Differences {
			all = append(all, d.String())
		}
		what = "has it otherwise: " + oneLine(strings.Join(all, "; "), 500)
	}
	evidence := Evidence{Kind: "entry-check", URL: e.URL, At: e.Since, Detail: string(e.Outcome)}
	// What cannot be written as JSON is not evidence; this can.
	evidence.Data, _ = json.Marshal(e.Evidence)
	a.wrong(j, UnloggedAttestation, s, e.Since, Finding{
		Log:      &LogRef{Origin: e.Origin, Index: int64(e.Index), GlobalIndex: int64(e.GlobalIndex)},
		Summary:  fmt.Sprintf("log %s %s: entry %d, which a verified attestation of %s names", e.Origin, what, e.GlobalIndex, oneLine(e.File, 120)),
		Expected: "the very entry that the attestation carries", Evidence: []Evidence{evidence},
	})
	return a
}

// proof proves a leaf again that was found by name, and not in a range that was read.
func (x *Examination) proof(leaf []byte, archive Archive) error {
	if leaf == nil || archive.Proof == nil {
		return nil
	}
	proof, err := archive.Proof(x.Evidence.SHA256)
	if err != nil || proof == nil {
		return err
	}
	entry, err := proof.Entry(leaf)
	if err == nil {
		var keys *rekor.V1Keys
		if keys, err = archive.Rekor1(proof.Origin); err == nil {
			err = entry.Verify(keys)
		}
	}
	x.Confirmed = x.Confirmed && err == nil
	x.Note = fmt.Sprintf("the leaf is in the record, %d bytes, and the log signed a tree that has it at index %d, and its time, %s", len(leaf), proof.Index, proof.At.UTC().Format(time.RFC3339))
	if err != nil {
		x.Note = "its proof does not hold: " + err.Error()
	}
	return nil
}

// entry holds an entry of a bundle against the log's again.
func (x *Examination) entry(archive Archive) {
	var e EntryEvidence
	if err := json.Unmarshal(x.Evidence.Data, &e); err != nil {
		x.Note = "the evidence cannot be read: " + err.Error()
		return
	}
	if e.Log == nil {
		x.Note, x.open = "the log gave no entry; nobody signs that there is none, so it cannot be verified again", true
		return
	}
	keys, err := archive.Rekor1(e.Log.Origin)
	if err != nil {
		x.Note, x.open = err.Error(), true
		return
	}
	entry, err := e.Log.Entry(e.LogBody)
	if err == nil {
		err = entry.Verify(keys)
	}
	if err != nil {
		x.Note = "the log's entry does not verify: " + err.Error()
		return
	}
	differences := keys.Compare(entry, e.copy())
	x.Confirmed = len(differences) > 0
	x.Note = "the log's entry is proven, and is the one that the attestation carries"
	if x.Confirmed {
		x.Note = "the log's entry is proven, and is not the one that the attestation carries: " + differences[0].String()
	}
}
