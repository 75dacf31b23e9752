package main

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// What a program in a pod may do: what its service account was given, and nothing else.
func actAsServiceAccount(ctx context.Context, at stage) error {
	admin, err := kubernetes.NewForConfig(at.config)
	if err != nil {
		return err
	}
	if err := grant(ctx, admin, at.namespace); err != nil {
		return err
	}
	asked := &authenticationv1.TokenRequest{}
	token, err := admin.CoreV1().ServiceAccounts(at.namespace).CreateToken(ctx, "reader", asked, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("failed to get a token: %w", err)
	}
	config := rest.AnonymousClientConfig(at.config)
	config.BearerToken = token.Status.Token
	reader, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if _, err := reader.CoreV1().ConfigMaps(at.namespace).List(ctx, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("what was given is refused: %w", err)
	}
	if _, err := reader.CoreV1().Secrets(at.namespace).List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		return fmt.Errorf("secrets are given to who may not read them: %v", err)
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: at.namespace, Verb: "get", Resource: "configmaps"}}}
	answer, err := reader.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil || !answer.Status.Allowed {
		return fmt.Errorf("the review says %v: %v", answer, err)
	}
	return nil
}

func grant(ctx context.Context, admin kubernetes.Interface, namespace string) error {
	meta := metav1.ObjectMeta{Name: "reader"}
	account := &corev1.ServiceAccount{ObjectMeta: meta}
	if _, err := admin.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return err
	}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}}}}
	if _, err := admin.RbacV1().Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("failed to make a role: %w", err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "reader", Namespace: namespace}}}
	_, err := admin.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{})
	return err
}
