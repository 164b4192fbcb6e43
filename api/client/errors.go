package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxErrorBody is how much is read of an answer that is no success, in bytes.
const maxErrorBody = 1 << 20

// failure makes an error of an answer that is no success: the server's Status, or one made up from the code.
func failure(resp *http.Response, r Request) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // half an explanation is better than none
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" && status.Status != metav1.StatusSuccess {
		return &apierrors.StatusError{ErrStatus: status}
	}
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		text = ""
	}
	return apierrors.NewGenericServerResponse(resp.StatusCode, strings.ToLower(r.Method), schema.GroupResource{}, "", text, 0, true)
}

// Explain words an error as kubectl does, in one message without a line end.
func Explain(err error) string {
	var located *LocatedError
	where := ""
	if errors.As(err, &located) {
		where = located.Doing + ": "
		err = located.Err
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return explainStatus(status.Status(), where, err)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Sprintf("The connection to the server %s was refused - did you specify the right host or port?", hostOf(failed.URL))
		}
		return fmt.Sprintf("Unable to connect to the server: %v", failed.Err)
	}
	return "error: " + where + err.Error()
}

// LocatedError says with which part of the input something failed, such as `error when applying "a.yaml"`.
type LocatedError struct {
	Doing string
	Err   error
}

func (e *LocatedError) Error() string { return e.Doing + ": " + e.Err.Error() }

func (e *LocatedError) Unwrap() error { return e.Err }

func explainStatus(s metav1.Status, where string, err error) string {
	switch {
	case s.Reason == metav1.StatusReasonInvalid && s.Code == http.StatusUnprocessableEntity:
		return where + explainInvalid(s)
	case s.Reason == metav1.StatusReasonUnauthorized:
		return fmt.Sprintf("error: You must be logged in to the server (%s)", s.Message)
	case s.Reason != "":
		return fmt.Sprintf("Error from server (%s): %s%s", s.Reason, where, err)
	}
	return "Error from server: " + where + err.Error()
}

func explainInvalid(s metav1.Status) string {
	d := s.Details
	if d == nil || d.Kind == "" && d.Name == "" {
		return strings.TrimSuffix("The request is invalid: "+s.Message, ": ")
	}
	text := fmt.Sprintf("The %s %q is invalid", d.Kind, d.Name)
	lines := make([]string, 0, len(d.Causes))
	for _, cause := range d.Causes {
		lines = append(lines, strings.TrimPrefix(cause.Field+": "+cause.Message, ": "))
	}
	switch len(lines) {
	case 0:
		return text
	case 1:
		return text + ": " + lines[0]
	}
	return text + ": \n* " + strings.Join(lines, "\n* ")
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Host
	}
	return address
}
