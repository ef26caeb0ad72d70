"""
Top-k: exact nearest neighbours in tiles
========================================

``topk`` gives the largest of the scores ``inputs @ weights.T + biases`` without ever holding all of them. With the bias
``-|w|^2 / 2`` the largest score is the smallest distance, so it searches nearest neighbours exactly. Data: 1,797 digits
of 8 x 8 pixels (scikit-learn).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import lossext as lx

images, digit = load_digits(return_X_y=True)
images = images.astype(np.float32)
known, asked = images[:1200], images[1200:]

# %%
scores, neighbours = lx.topk(known, -(known**2).sum(axis=1) / 2, asked, k=15)
distance = np.sqrt((asked**2).sum(axis=1)[:, None] - 2 * scores)
assert np.allclose(distance[:, 0], np.linalg.norm(asked - known[neighbours[:, 0]], axis=1), atol=0.1)

# %%
# Each neighbour has a vote for its digit.

right = []
for k in range(1, 16):
    votes = (digit[neighbours[:, :k], None] == np.arange(10)).sum(axis=1)
    right.append((votes.argmax(axis=1) == digit[1200:]).mean())
print(f"best with {np.argmax(right) + 1} neighbours: {max(right):.1%} right")

# %%
# ``exclude=`` keeps what is already known out, such as the image itself.

_, others = lx.topk(images, -(images**2).sum(axis=1) / 2, images, k=4, exclude=np.arange(len(images))[:, None])
assert not (others == np.arange(len(images))[:, None]).any()

fig = plt.figure(figsize=(9, 4), layout="constrained")
left, right_half = fig.subfigures(1, 2)
ax = left.subplots()
ax.plot(range(1, 16), right, "o-")
ax.set(xlabel="neighbours", ylabel="right digits")
axes = right_half.subplots(4, 5)
for row, of_one in zip(axes, (3, 8, 5, 1790), strict=True):
    for ax, image in zip(row, (of_one, *others[of_one]), strict=True):
        ax.imshow(images[image].reshape(8, 8), cmap="gray_r")
        ax.set_axis_off()
    row[0].set_title("image", fontsize=8)
    row[1].set_title("nearest others", fontsize=8)
plt.show()
