package notify

import (
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// situation is what a plan depends on besides the messages.
type situation struct {
	route Route
	now   time.Time
	// sent counts the parcels that the channel took in the last hour.
	sent int
	// known are the projects that the channel was told of before.
	known map[string]bool
}

// plan is what to do about the messages that are pending on a channel.
type plan struct {
	// send are parcels, in order. Two that are about one finding are in the order of its changes.
	send []Parcel
	// unwanted are messages that the route leaves out.
	unwanted []Message
	// held counts messages that wait for a quiet time, or an hour of many messages, to end.
	held int
}

// decide plans. It is pure. The messages are in the order in which they were written.
//
//	pending ──again──▶ parcels that were attempted before: sent as they were
//	        ──wants──▶ what the route leaves out is dropped
//	        ──hold───▶ in a quiet time what is not critical waits, unless something critical of the same finding follows it
//	        ──first──▶ many about the history of a project that the channel knows nothing of: one summary
//	        ──group──▶ the same change of files of one release: one parcel
//	        ──limit──▶ beyond what an hour allows: one digest, and then nothing that is not critical until the hour is over
func (s situation) decide(pending []Message) plan {
	var p plan
	pending, p.unwanted = s.wanted(pending)
	again, fresh, held := s.hold(attempted(pending))
	p.held = held
	fresh, summaries := s.summarize(fresh)
	parcels, over := s.limit(group(fresh), len(again)+len(summaries))
	p.held += over
	p.send = slices.Concat(again, summaries, parcels)
	return p
}

// attempted puts the messages of parcels that were attempted before together again.
func attempted(pending []Message) (again []Parcel, fresh []Message) {
	at := map[int64]int{}
	for _, m := range pending {
		i, ok := at[m.Lead]
		switch {
		case m.Lead == 0:
			fresh = append(fresh, m)
		case ok:
			again[i].Messages = append(again[i].Messages, m)
		default:
			at[m.Lead] = len(again)
			again = append(again, Parcel{Form: m.Form, Messages: []Message{m}})
		}
	}
	return again, fresh
}

// wanted leaves out what the route leaves out.
func (s situation) wanted(pending []Message) (wanted, unwanted []Message) {
	told := map[string]bool{}
	for _, m := range pending {
		if s.route.wants(m, m.Told || told[m.Finding.ID]) {
			told[m.Finding.ID] = true
			wanted = append(wanted, m)
		} else {
			unwanted = append(unwanted, m)
		}
	}
	return wanted, unwanted
}

// hold leaves out what waits for the end of a quiet time.
func (s situation) hold(again []Parcel, fresh []Message) (_ []Parcel, _ []Message, held int) {
	if !s.route.Quiet.holds(s.now) {
		return again, fresh, 0
	}
	urgent := map[string]int64{} // by finding, the last message that cannot wait
	all := slices.Clone(fresh)
	for _, p := range again {
		all = append(all, p.Messages...)
	}
	for _, m := range all {
		if m.Finding.Severity.AtLeast(audit.Critical) {
			urgent[m.Finding.ID] = max(urgent[m.Finding.ID], m.ID)
		}
	}
	waits := func(m Message) bool { return m.ID > urgent[m.Finding.ID] }
	var sendAgain []Parcel
	for _, p := range again {
		if slices.ContainsFunc(p.Messages, func(m Message) bool { return !waits(m) }) {
			sendAgain = append(sendAgain, p)
		} else {
			held += len(p.Messages)
		}
	}
	var send []Message
	for _, m := range fresh {
		if waits(m) {
			held++
		} else {
			send = append(send, m)
		}
	}
	return sendAgain, send, held
}

// summarize puts what is many about the history of a project that the channel knows nothing of into one parcel a project.
func (s situation) summarize(pending []Message) (rest []Message, summaries []Parcel) {
	if s.route.Summarize <= 0 {
		return pending, nil
	}
	of := map[string][]Message{}
	for _, m := range pending {
		if project := m.Finding.Project; m.History && !s.known[project] {
			of[project] = append(of[project], m)
		}
	}
	done := map[string]bool{}
	for _, m := range pending {
		project := m.Finding.Project
		switch {
		case !m.History || len(group(of[project])) <= s.route.Summarize:
			rest = append(rest, m)
		case !done[project]:
			done[project] = true
			summaries = append(summaries, Parcel{Form: Summary, Messages: of[project]})
		}
	}
	return rest, summaries
}

// bunch is what messages must have in common to be one parcel.
type bunch struct {
	transition                                    audit.Transition
	rule, severity, project, index, pypi, release string
	by, why                                       string
}

// group puts the same change of files of one release into one parcel. A message does not join a parcel that stands before
// an earlier change of its finding.
func group(pending []Message) []Parcel {
	var parcels []Parcel
	open, last := map[bunch]int{}, map[string]int{}
	for _, m := range pending {
		f := m.Finding
		key := bunch{m.Transition, f.Rule, string(f.Severity), f.Project, f.Index, f.PyPIProject, f.Release, m.By, m.Why}
		i, ok := open[key]
		before, known := last[f.ID]
		if f.Release != "" && ok && (!known || before < i) {
			parcels[i].Form, parcels[i].Messages = Group, append(parcels[i].Messages, m)
			last[f.ID] = i
			continue
		}
		open[key], last[f.ID] = len(parcels), len(parcels)
		parcels = append(parcels, Parcel{Form: Single, Messages: []Message{m}})
	}
	return parcels
}

// limit gathers in one digest what goes beyond the hour's limit. more counts parcels that are sent besides. Where the hour
// is full already, only a digest with something critical in it is sent; what is critical is sent one by one first.
func (s situation) limit(parcels []Parcel, more int) (send []Parcel, held int) {
	left := s.route.Hourly - s.sent - more
	if s.route.Hourly <= 0 || len(parcels) <= left {
		return parcels, 0
	}
	var beyond []Message
	urgent := false
	kept := s.keep(parcels, left-1) // one is for the digest
	for i, p := range parcels {
		if kept[i] {
			send = append(send, p)
			continue
		}
		beyond = append(beyond, p.Messages...)
		urgent = urgent || p.Severity().AtLeast(audit.Critical)
	}
	if left < 1 && !urgent {
		return send, len(beyond)
	}
	slices.SortStableFunc(beyond, func(a, b Message) int { return int(a.ID - b.ID) })
	return append(send, Parcel{Form: Digest, Messages: beyond}), 0
}

// keep chooses the parcels that are sent by themselves: the most urgent ones, and none whose finding has an earlier change
// that is not.
func (s situation) keep(parcels []Parcel, n int) map[int]bool {
	order := make([]int, len(parcels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return parcels[a].Severity().Rank() - parcels[b].Severity().Rank() })
	chosen := map[int]bool{}
	for _, i := range order[:min(len(order), max(n, 0))] {
		chosen[i] = true
	}
	behind := map[string]bool{}
	for i, p := range parcels {
		for _, m := range p.Messages {
			if behind[m.Finding.ID] {
				delete(chosen, i)
			}
		}
		for _, m := range p.Messages {
			behind[m.Finding.ID] = behind[m.Finding.ID] || !chosen[i]
		}
	}
	return chosen
}
