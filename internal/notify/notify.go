// Package notify delivers what the outbox holds: every announced change of a finding, to every channel whose route wants it.
//
// It promises that a message stays in the outbox until its channel took it, that the changes of one finding arrive in the
// order in which they were written, that no channel holds up another, and no message that its channel refuses holds up one
// about another finding. Where it cannot know whether a channel took a message (a time-out, a crash between sending and
// noting it), it asks the channel if that can tell, and else sends it again and says that it may be a repeat: at least once,
// never silently lost. No text from outside becomes a mention, a link or a line of its own on any channel, and no secret of
// a channel is in an error. It does not decide what is a finding; a route decides what of it is worth a message.
package notify

import (
	"context"
	"errors"
	"time"
)

// Outbox is the part of the record that holds what is to be delivered.
type Outbox interface {
	// Pending lists undelivered messages of a channel, at most limit: what was attempted before first, then what a critical
	// finding is about, then in the order in which they were written.
	Pending(ctx context.Context, channel string, limit int) ([]Message, error)
	// CountPending counts them.
	CountPending(ctx context.Context, channel string) (int, error)
	// Failing is the first failed attempt of those that still are undelivered, and what the last attempt of that message gave; zero
	// and "" where none failed.
	Failing(ctx context.Context, channel string) (since time.Time, problem string, err error)
	// Sent counts the parcels that the channel took since an instant.
	Sent(ctx context.Context, channel string, since time.Time) (int, error)
	// Told lists the projects that the channel took a message about.
	Told(ctx context.Context, channel string) (map[string]bool, error)
	// Thread returns where the channel was told of a parcel's findings first, and what it was told of the findings there since;
	// "" where it was not, or not at one place.
	Thread(ctx context.Context, channel string, p Parcel) (string, []Message, error)
	// Attempting notes that a parcel is about to be sent: from here on it may have taken effect, and stays as it is.
	Attempting(ctx context.Context, now time.Time, p Parcel) error
	// Delivered notes that the channel took a parcel, and the channel's name for its thread.
	Delivered(ctx context.Context, now time.Time, p Parcel, thread string) error
	// NotDelivered notes that it did not; maybe says that it may have taken effect all the same.
	NotDelivered(ctx context.Context, now time.Time, p Parcel, problem string, maybe bool, next time.Time) error
	// Unwanted takes out messages that the channel's route leaves out.
	Unwanted(ctx context.Context, messages []Message) error
}

// Channel is one way to reach people.
type Channel interface {
	// Name is the channel's name in the outbox.
	Name() string
	// Send delivers one parcel and returns the channel's name for the thread that it began or continued, "" where the channel has
	// no threads. A failure that is not an *Error counts as one that may have taken effect.
	Send(ctx context.Context, p Parcel) (thread string, err error)
}

// Teller is a channel that can tell whether it took a parcel.
type Teller interface {
	// Took looks for a parcel that may have been taken, and returns its thread where it was. The error is errCannotTell where
	// the channel does not let it look.
	Took(ctx context.Context, p Parcel) (thread string, took bool, err error)
}

// errCannotTell says that a Teller may not look for what it took.
var errCannotTell = errors.New("the channel cannot tell what it took")

// Error is a failure to send that says what is known about it.
type Error struct {
	Err error
	// NotTaken says that the channel surely did not take the parcel.
	NotTaken bool
	// OnlyThis says that the channel works, and refuses this very parcel.
	OnlyThis bool
	// RetryAfter is how long the channel asked to be left alone.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
