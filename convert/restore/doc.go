// Package restore turns an eFCN back into another form of itself.
//
// Start with [Project], which returns the CNN that is nearest to an eFCN. [ToDense]
// returns the eFCN with its sparse, local and factored layers in dense form. Training all
// weights of sparse and local layers needs that, and so does training outside the
// support of factored ones.
package restore
