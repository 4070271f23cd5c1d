package audit

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/pypi"
)

// ownership is what the record keeps of an answer about owners: the facts in a fixed order, so that two answers that say
// the same are the same.
type ownership struct {
	Roles        []pypi.Role `json:"roles"`
	Organization string      `json:"organization,omitempty"`
}

// ownershipBody writes an answer for the record, nil where the index does not tell.
func ownershipBody(o pypi.Ownership) (json.RawMessage, error) {
	if !o.Told {
		return nil, nil
	}
	roles := slices.Clone(o.Roles)
	slices.SortFunc(roles, func(a, b pypi.Role) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Role, b.Role)) })
	return json.Marshal(ownership{Roles: roles, Organization: o.Organization})
}

// owners names the people and the organisation of an answer in the record.
func owners(body json.RawMessage) string {
	var o ownership
	if err := json.Unmarshal(body, &o); err != nil {
		return "unreadable"
	}
	var who []string
	for _, r := range o.Roles {
		who = append(who, oneLine(r.User, 60)+" ("+oneLine(r.Role, 30)+")")
	}
	if o.Organization != "" {
		who = append(who, "organization "+oneLine(o.Organization, 60))
	}
	if len(who) == 0 {
		return "nobody"
	}
	return strings.Join(who, ", ")
}
