package pypi

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxProject caps an answer of the JSON API, which repeats every file of every release.
const maxProject = 64 << 20

// Ownership is who may publish a project, as PyPI's JSON API says: an unsigned claim, without times.
type Ownership struct {
	// Told reports whether the index said anything; the other fields are empty where it did not.
	Told bool
	// Roles are in the index's order.
	Roles []Role
	// Organization is the name of the organisation that owns the project, "" for none.
	Organization string
	// Raw is the ownership member as served.
	Raw json.RawMessage
}

// Role is one person's role in a project.
type Role struct {
	Role string `json:"role"` // "Owner" or "Maintainer"
	User string `json:"user"`
}

// decodeOwnership decodes the ownership member of the JSON API's answer about project.
func decodeOwnership(body []byte, project string) (Ownership, error) {
	if len(body) > maxProject {
		return Ownership{}, fmt.Errorf("it has %d bytes, more than %d", len(body), maxProject)
	}
	if err := expectObject(body); err != nil {
		return Ownership{}, err
	}
	var wire struct {
		Info struct {
			Name string `json:"name"`
		} `json:"info"`
		Ownership jsontext.Value `json:"ownership"`
	}
	if err := jsonv2.Unmarshal(body, &wire); err != nil {
		return Ownership{}, err
	}
	if Normalize(wire.Info.Name) != Normalize(project) {
		return Ownership{}, fmt.Errorf("it is about project %q, not %q", shorten(wire.Info.Name), project)
	}
	if len(wire.Ownership) == 0 || wire.Ownership.Kind() == 'n' {
		return Ownership{}, nil
	}
	if err := expectObject(wire.Ownership); err != nil {
		return Ownership{}, fmt.Errorf("its ownership: %w", err)
	}
	var ownership struct {
		Roles        *capped[Role] `json:"roles"`
		Organization *string       `json:"organization"`
	}
	if err := jsonv2.Unmarshal(wire.Ownership, &ownership); err != nil {
		return Ownership{}, fmt.Errorf("its ownership: %w", err)
	}
	if ownership.Roles == nil {
		return Ownership{}, errors.New("its ownership has no roles member")
	}
	o := Ownership{Told: true, Roles: *ownership.Roles, Raw: json.RawMessage(wire.Ownership)}
	for i, r := range o.Roles {
		if r.Role == "" || r.User == "" {
			return Ownership{}, fmt.Errorf("its ownership's role %d lacks a role or a user", i)
		}
	}
	if ownership.Organization != nil {
		o.Organization = *ownership.Organization
	}
	return o, nil
}
