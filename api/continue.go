package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/store"
)

// anyRevision in a token goes on with the newest state: the list is then not of one revision.
const anyRevision = 0

// token says where a list goes on. Clients pass it back unread.
type token struct {
	Revision uint64    `json:"r"`
	After    store.Key `json:"a"`
}

func (t token) encode() string {
	t.After.Resource = "" // the path says it
	raw, _ := json.Marshal(t)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func decodeToken(s string) (token, error) {
	var t token
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil {
		return t, apierrors.NewBadRequest("continue key is not valid: " + err.Error())
	}
	return t, nil
}

// expired is the answer to a token whose revision is no longer kept. It has a token that takes the rest as it is now.
func expired(t token) error {
	t.Revision = anyRevision
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		ListMeta: metav1.ListMeta{Continue: t.encode()},
		Status:   metav1.StatusFailure,
		Code:     http.StatusGone,
		Reason:   metav1.StatusReasonExpired,
		Message: "The provided continue parameter is too old to display a consistent list result. You can start a new list without " +
			"the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing " +
			"with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time " +
			"the first chunk was returned and now may show up in the list.",
	}}
}
