package api

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// logQuery checks the options of a log request and leaves those that a node knows.
func logQuery(in url.Values) (url.Values, error) {
	out := url.Values{}
	for _, name := range []string{"follow", "previous", "timestamps"} {
		on, err := parseBool(in, name)
		if err != nil {
			return nil, err
		}
		if on {
			out.Set(name, "true")
		}
	}
	var errs field.ErrorList
	for name, least := range map[string]int64{"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1} {
		errs = append(errs, copyNumber(in, out, name, least)...)
	}
	if since := in.Get("sinceTime"); since != "" {
		if _, err := time.Parse(time.RFC3339, since); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("query parameter sinceTime: %v", err))
		}
		out.Set("sinceTime", since)
	}
	if out.Has("sinceTime") && out.Has("sinceSeconds") {
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	}
	errs = append(errs, copyStream(in, out)...)
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), "", errs)
	}
	return out, nil
}

func copyNumber(in, out url.Values, name string, least int64) field.ErrorList {
	given := in.Get(name)
	if given == "" {
		return nil
	}
	path := field.NewPath(name)
	n, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		return field.ErrorList{field.Invalid(path, given, "must be an integer")}
	}
	if n < least {
		return field.ErrorList{field.Invalid(path, n, fmt.Sprintf("must be greater than or equal to %d", least))}
	}
	out.Set(name, given)
	return nil
}

func copyStream(in, out url.Values) field.ErrorList {
	switch stream := in.Get("stream"); stream {
	case "":
		return nil
	case corev1.LogStreamAll, corev1.LogStreamStdout, corev1.LogStreamStderr:
		out.Set("stream", stream)
		return nil
	default:
		return field.ErrorList{field.NotSupported(field.NewPath("stream"), stream,
			[]string{corev1.LogStreamAll, corev1.LogStreamStdout, corev1.LogStreamStderr})}
	}
}
