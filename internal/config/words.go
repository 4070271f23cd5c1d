package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// joinKey appends a key to the path of the mapping that it stands in. Keys that are not plain words
// are quoted, so that a path reads unambiguously and cannot carry a line break.
func joinKey(path, key string) string {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// withoutIndices turns "projects[0].grades[1].refs" into "projects.grades.refs", and leaves out the
// name of a rule: "rules.no-provenance.off" is "rules.off".
func withoutIndices(path string) string {
	path = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")
	return regexp.MustCompile(`^rules\.[^.]+\.`).ReplaceAllString(path, "rules.")
}

// suggest says which of the known words was probably meant, or lists them.
func suggest(text string, known []string) string {
	if near := nearest(text, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "there are none"
	}
	return "write one of " + strings.Join(known, ", ")
}

// nearest returns the known word that is closest to text, or "" where none is close: a third of its
// characters may be wrong, and two in a short word.
func nearest(text string, known []string) string {
	best, closest := "", 0
	if len(text) > 100 {
		return ""
	}
	for _, word := range known {
		distance := editDistance(strings.ToLower(text), word)
		if distance <= max(min(2, len(word)/2), len(word)/3) && (best == "" || distance < closest) {
			best, closest = word, distance
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours (optimal
// string alignment) that turn one text into the other, byte by byte.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
