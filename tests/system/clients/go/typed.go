package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
)

// What a program does with types it was compiled with.
func useTyped(ctx context.Context, at stage) error {
	client, err := kubernetes.NewForConfig(at.config)
	if err != nil {
		return err
	}
	for _, check := range []func(context.Context, kubernetes.Interface, string) error{scale, page, apply, refuse} {
		if err := check(ctx, client, at.namespace); err != nil {
			return err
		}
	}
	return nil
}

func scale(ctx context.Context, client kubernetes.Interface, namespace string) error {
	deployments := client.AppsV1().Deployments(namespace)
	labels := map[string]string{"app": "typed"}
	wanted := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "typed-"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "sampan-demo:v1"}}},
			},
		},
	}
	made, err := deployments.Create(ctx, wanted, metav1.CreateOptions{FieldValidation: "Strict"})
	if err != nil {
		return err
	}
	size := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: made.Name}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}
	if _, err := deployments.UpdateScale(ctx, made.Name, size, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("failed to scale: %w", err)
	}
	if err := eventually(ctx, "three pods are ready", func(ctx context.Context) (bool, error) {
		now, err := deployments.Get(ctx, made.Name, metav1.GetOptions{})
		return err == nil && now.Status.ReadyReplicas == 3, err
	}); err != nil {
		return err
	}
	return deployments.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
}

// A list in pages is one moment, whatever is written meanwhile.
func page(ctx context.Context, client kubernetes.Interface, namespace string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	named := func(number int) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("page-%d", number), Labels: map[string]string{"page": ""}}}
	}
	for number := range 5 {
		if _, err := maps.Create(ctx, named(number), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	options := metav1.ListOptions{LabelSelector: "page", Limit: 2}
	seen := 0
	for {
		list, err := maps.List(ctx, options)
		if err != nil {
			return err
		}
		seen += len(list.Items)
		if options.Continue = list.Continue; list.Continue == "" {
			break
		}
		if _, err := maps.Create(ctx, named(100+seen), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if seen != 5 {
		return fmt.Errorf("pages of five hold %d", seen)
	}
	return nil
}

func apply(ctx context.Context, client kubernetes.Interface, namespace string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	by := func(manager, value string, force bool) error {
		wanted := applycorev1.ConfigMap("applied", namespace).WithData(map[string]string{"key": value})
		_, err := maps.Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: manager, Force: force})
		return err
	}
	if err := by("one", "a", false); err != nil {
		return err
	}
	if err := by("two", "b", false); !apierrors.IsConflict(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		return fmt.Errorf("the field of another is taken: %v", err)
	}
	return by("two", "b", true)
}

// Errors are known by their kind.
func refuse(ctx context.Context, client kubernetes.Interface, namespace string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "refused"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, again := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "refused"}}, metav1.CreateOptions{})
	stale := made.DeepCopy()
	made.Data = map[string]string{"key": "value"}
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	stale.Data = map[string]string{"key": "lost"}
	_, conflict := maps.Update(ctx, stale, metav1.UpdateOptions{})
	_, missing := maps.Get(ctx, "nowhere", metav1.GetOptions{})
	_, invalid := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not A Name"}}, metav1.CreateOptions{})
	_, page := maps.List(ctx, metav1.ListOptions{Continue: "nonsense"})
	other := types.UID("other")
	gone := maps.Delete(ctx, "refused", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
	for what, known := range map[string]bool{
		"a second of a name":    apierrors.IsAlreadyExists(again),
		"a stale update":        apierrors.IsConflict(conflict),
		"what is not there":     apierrors.IsNotFound(missing),
		"a name that is none":   apierrors.IsInvalid(invalid),
		"a token that is none":  apierrors.IsBadRequest(page),
		"another's uid deleted": apierrors.IsConflict(gone),
	} {
		if !known {
			return fmt.Errorf("%s is refused otherwise: %v %v %v %v %v %v", what, again, conflict, missing, invalid, page, gone)
		}
	}
	return nil
}
