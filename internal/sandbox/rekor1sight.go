package sandbox

import (
	"net/http"
	"strings"
)

// sight is what one request sees of one shard.
type sight struct {
	*RekorShard
	view
	// setAgain and noteAgain have SETs and the checkpoint signed by the other signature.
	setAgain, noteAgain bool
	note                string // the checkpoint; "" until it is asked for
}

// audience is what one request sees of the log. Nothing that it sees changes until it is dismissed: it holds the locks of the
// shards, and so must not ask for the log's, which those who write hold before the shards'.
type audience struct {
	sights    []*sight // as the shards
	pageLimit int
}

// receive opens the log to a request.
func (r *Rekor) receive(q *http.Request) *audience {
	number := r.answers.Add(1)
	r.mu.RLock()
	defer r.mu.RUnlock()
	replica, behind := uint64(0), uint64(0)
	if n := uint64(len(r.conduct.replicas)); n > 0 {
		replica = number % n
		behind = r.conduct.replicas[replica]
	}
	a := &audience{pageLimit: r.conduct.pageLimit}
	for i, s := range r.shards {
		for _, shown := range r.showing {
			if shown.branch.treeID == s.treeID && shown.to(q) {
				s = shown.branch
			}
		}
		s.mu.RLock()
		seen := &sight{RekorShard: s, view: s.viewLocked(), setAgain: number%2 == 0}
		if i == len(r.shards)-1 {
			seen.size -= min(behind, seen.size)
			seen.noteAgain = seen.setAgain
		} else {
			seen.noteAgain = replica%2 == 1 // a replica signs the checkpoints of frozen shards once, when it starts
		}
		a.sights = append(a.sights, seen)
	}
	return a
}

// dismiss must be called once.
func (a *audience) dismiss() {
	for _, s := range a.sights {
		s.mu.RUnlock()
	}
}

// active is the shard that takes entries.
func (a *audience) active() *sight { return a.sights[len(a.sights)-1] }

// tree finds a shard by its id.
func (a *audience) tree(id int64) (*sight, bool) {
	for _, s := range a.sights {
		if s.treeID == id {
			return s, true
		}
	}
	return nil, false
}

// at finds the shard of a global index, and the index in it, as the real server does: what lies past the frozen shards is the
// active one's.
func (a *audience) at(global uint64) (*sight, uint64) {
	i := len(a.sights) - 1
	for a.sights[i].offset > global {
		i--
	}
	return a.sights[i], global - a.sights[i].offset
}

// checkpoint is the shard's signed note for the size of the view.
func (s *sight) checkpoint() (string, error) {
	if s.note == "" {
		note, err := s.sealAgain(s.view, s.noteAgain)
		if err != nil {
			return "", err
		}
		s.note = string(note)
	}
	return s.note, nil
}

// headNote is the checkpoint that the shard gives as its tree head: a lie may have frozen it.
func (s *sight) headNote() (string, error) {
	if s.head != nil {
		return string(s.head), nil
	}
	return s.checkpoint()
}

// entryAt is the entry of an index in the shard, as it is told of; false where there is said to be none.
func (s *sight) entryAt(index uint64) (Entry, bool, error) {
	told := s.rumour.of(index)
	if index >= s.size || told != nil && told.withheld {
		return Entry{}, false, nil
	}
	e, err := s.prove(s.view, index, told)
	if err == nil && s.setAgain {
		e.SET, err = twin(e.SET)
	}
	if err == nil {
		e.Checkpoint, err = s.checkpoint()
	}
	return e, err == nil, err
}

// noteHead reads size and root off a note, as they are written there.
func noteHead(note string) (size, root string) {
	lines := strings.SplitN(note, "\n", 4)
	return lines[1], lines[2]
}
