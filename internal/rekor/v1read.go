package rekor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strconv"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

const (
	// v1PageSize is how many entries the API gives at once (rekor, pkg/api/entries.go, "maxSearchQueries").
	v1PageSize = 10
	// maxV1AnswerBytes bounds an answer with entries. Nearly all have under 10 kB with their proofs; where ten do not fit,
	// fewer are asked for, and one that does not fit alone is longer than [Decode] reads.
	maxV1AnswerBytes = 16 << 20
)

// v1Question is the body of a request for entries (rekor, openapi.yaml, "SearchLogQuery").
type v1Question struct {
	LogIndexes []uint64 `json:"logIndexes,omitempty"`
	EntryUUIDs []string `json:"entryUUIDs,omitempty"`
}

// half is half the number of entries asked for; 0 if there is only one.
func (q v1Question) half() int { return max(len(q.LogIndexes), len(q.EntryUUIDs)) / 2 }

// part is the question for the entries from one position to another.
func (q v1Question) part(from, to int) v1Question {
	cut := func(n int) (int, int) { return min(from, n), min(to, n) }
	i, j := cut(len(q.LogIndexes))
	q.LogIndexes = q.LogIndexes[i:j]
	i, j = cut(len(q.EntryUUIDs))
	q.EntryUUIDs = q.EntryUUIDs[i:j]
	return q
}

// EntryAt reads and proves the entry at a global index. The error wraps [fs.ErrNotExist] if the log has none there, or
// its replica does not have it yet; an entry that fails a check is a [*V1CheckError].
func (l *V1Log) EntryAt(ctx context.Context, global uint64) (*V1Entry, error) {
	e, err := l.one(ctx, "/log/entries", url.Values{"logIndex": {strconv.FormatUint(global, 10)}})
	if err == nil && e.GlobalIndex != global {
		e, err = nil, wrongIndex(e, global)
	}
	if err != nil {
		return nil, fmt.Errorf("reading entry %d of %s: %w", global, l.base, err)
	}
	return e, nil
}

// Entry reads and proves the entry that an id names. Errors are those of [V1Log.EntryAt].
func (l *V1Log) Entry(ctx context.Context, id V1ID) (*V1Entry, error) {
	e, err := l.one(ctx, "/log/entries/"+id.String(), nil)
	if err == nil && !id.names(e.ID()) {
		e, err = nil, &V1CheckError{Check: V1CheckUUID, UUID: e.ID().String(), GlobalIndex: e.GlobalIndex, Got: e.ID().String(), Want: id.String()}
	}
	if err != nil {
		return nil, fmt.Errorf("reading entry %s of %s: %w", id, l.base, err)
	}
	return e, nil
}

func wrongIndex(e *V1Entry, global uint64) error {
	return &V1CheckError{Check: V1CheckLogIndex, UUID: e.ID().String(), GlobalIndex: e.GlobalIndex,
		Got: strconv.FormatUint(e.GlobalIndex, 10), Want: strconv.FormatUint(global, 10) + ", which was asked for"}
}

func (l *V1Log) one(ctx context.Context, path string, query url.Values) (*V1Entry, error) {
	raw, err := l.get(ctx, path, query, maxV1AnswerBytes)
	if err != nil {
		return nil, err
	}
	answer, err := parseV1Entry(raw)
	if err != nil {
		return nil, err
	}
	return l.proven(ctx, answer)
}

// proven proves an entry and its place among the shards.
func (l *V1Log) proven(ctx context.Context, answer v1Keyed[v1Wire]) (*V1Entry, error) {
	e, err := l.keys.prove(answer)
	if err != nil {
		return nil, err
	}
	shards, err := l.withTree(ctx, e.TreeID)
	if err != nil {
		return nil, err
	}
	if err := e.checkPlace(shards); err != nil {
		return nil, err
	}
	return e, nil
}

// V1Answer is what became of one question for an entry.
type V1Answer struct {
	// ID and GlobalIndex are what was asked for: the one or the other.
	ID          V1ID
	GlobalIndex uint64
	// Entry is nil where there is an error: one that wraps [fs.ErrNotExist] if the answer does not have the entry, or a
	// [*V1CheckError].
	Entry *V1Entry
	Err   error
}

// EntriesAt reads and proves entries by their global indices, in as few requests as there can be. The answers are in the
// order of the indices. An error is of the requests: what was not answered is unknown.
func (l *V1Log) EntriesAt(ctx context.Context, globals []uint64) ([]V1Answer, error) {
	answers := make([]V1Answer, 0, len(globals))
	for batch := range slices.Chunk(globals, v1PageSize) {
		entries, err := l.retrieve(ctx, v1Question{LogIndexes: batch})
		if err != nil {
			return answers, fmt.Errorf("reading %d entries from %d on of %s: %w", len(batch), batch[0], l.base, err)
		}
		for _, global := range batch {
			answer := V1Answer{GlobalIndex: global, Err: absent(fmt.Sprintf("entry %d", global))}
			if i := slices.IndexFunc(entries, func(e v1Retrieved) bool { return e.index == global }); i >= 0 {
				answer.Entry, answer.Err = entries[i].entry, entries[i].err
			}
			answers = append(answers, answer)
		}
	}
	return answers, nil
}

// Entries reads and proves entries by their ids; see [V1Log.EntriesAt]. An id without a tree is of every entry with that
// leaf hash: the answer has the first of them.
func (l *V1Log) Entries(ctx context.Context, ids []V1ID) ([]V1Answer, error) {
	answers := make([]V1Answer, 0, len(ids))
	for batch := range slices.Chunk(ids, v1PageSize) {
		var question v1Question
		for _, id := range batch {
			question.EntryUUIDs = append(question.EntryUUIDs, id.String())
		}
		entries, err := l.retrieve(ctx, question)
		if err != nil {
			return answers, fmt.Errorf("reading %d entries from %s on of %s: %w", len(batch), batch[0], l.base, err)
		}
		for _, id := range batch {
			answer := V1Answer{ID: id, Err: absent("entry " + id.String())}
			if i := slices.IndexFunc(entries, func(e v1Retrieved) bool { return id.names(e.id) }); i >= 0 {
				answer.Entry, answer.Err = entries[i].entry, entries[i].err
			}
			answers = append(answers, answer)
		}
	}
	return answers, nil
}

// absent is the error of an entry that an answer does not have.
func absent(what string) error {
	return fmt.Errorf("the answer does not have %s: %w", what, fs.ErrNotExist)
}

// v1Retrieved is one entry of an answer: proven, or with the reason why not. id and index are then only what it calls
// itself.
type v1Retrieved struct {
	id    V1ID
	index uint64
	entry *V1Entry
	err   error
}

// retrieve asks for at most ten entries. The answer leaves out what the log does not have, and has an order of its own.
func (l *V1Log) retrieve(ctx context.Context, q v1Question) ([]v1Retrieved, error) {
	raw, err := l.post(ctx, "/log/entries/retrieve", q, maxV1AnswerBytes)
	if half := q.half(); tooLarge(err) && half > 0 {
		first, err := l.retrieve(ctx, q.part(0, half))
		if err != nil {
			return nil, err
		}
		rest, err := l.retrieve(ctx, q.part(half, 2*v1PageSize))
		return append(first, rest...), err
	}
	if err != nil {
		return nil, err
	}
	// A UUID without a tree is looked for in all of them.
	wires, err := parseV1Entries[v1Wire](raw, len(q.LogIndexes)+len(q.EntryUUIDs)*maxShards)
	if err != nil {
		return nil, err
	}
	entries := make([]v1Retrieved, 0, len(wires))
	for _, w := range wires {
		e, err := l.proven(ctx, w)
		var failed *V1CheckError
		if err != nil && !errors.As(err, &failed) {
			return nil, err
		}
		got := v1Retrieved{id: w.id, index: w.entry.LogIndex, entry: e, err: err}
		if err == nil {
			got.id = e.ID()
		} else {
			got.entry = nil
		}
		entries = append(entries, got)
	}
	return entries, nil
}

// tooLarge says whether an answer did not fit.
func tooLarge(err error) bool {
	var large *fetch.TooLargeError
	return errors.As(err, &large)
}
