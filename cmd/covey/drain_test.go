package main

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestARefusedEvictionSaysWhichBudget(t *testing.T) {
	refused := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	refused.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: "DisruptionBudget", Message: "The disruption budget web needs 4 healthy pods and has 4 currently"}}
	want := "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 4 healthy pods and has 4 currently"
	if got := withCauses(refused); got.Error() != want || !errors.Is(got, refused) {
		t.Errorf("%v", got)
	}
	if other := errors.New("another"); !errors.Is(withCauses(other), other) || withCauses(other).Error() != "another" {
		t.Errorf("an error without causes becomes %v", withCauses(other))
	}
}
