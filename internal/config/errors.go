package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration.
type Error struct {
	// File is the configuration's name.
	File string
	// Line and Column count from 1; both are 0 where the parser could not tell them.
	Line, Column int
	// Key is the path of the key, such as "projects[0].grades[1].refs[0]"; "" for the file itself.
	Key string
	// Message says what is wrong, Advice what to write instead; there may be no advice.
	Message, Advice string
}

// Error returns "file:line:column: key: message; advice" without what is not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Message)
	if e.Advice != "" {
		b.WriteString("; " + e.Advice)
	}
	return b.String()
}

// Errors is everything that is wrong with a configuration, in the order of the file.
type Errors []*Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the single errors.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// position is where a value stands and the path of the key that it belongs to.
type position struct {
	line, column int
	key          string
}

// child is the position of what stands below a key that has no place of its own.
func (p position) child(key string) position {
	p.key = joinKey(p.key, key)
	return p
}

// reporter collects errors, so that a file is read to its end whatever is wrong with it.
type reporter struct {
	file   string
	errors Errors
}

// report adds an error.
func (r *reporter) report(at position, advice, format string, args ...any) {
	r.errors = append(r.errors, &Error{
		File: r.file, Line: at.line, Column: at.column, Key: at.key,
		Message: fmt.Sprintf(format, args...), Advice: advice,
	})
}

// all returns the errors in the order of the file, or nil.
func (r *reporter) all() error {
	if len(r.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.errors
}
