"""Train keypoint networks (extra `train`: torch). The only room that imports torch.

A network is an ONNX graph from its first day (`cpm`, `light`, `landmark` build it; `graph_net` runs
it in torch, with its stored tensors as parameters), so export is writing the tensors back, and what
was trained is what `multiview detect` runs. Files are touched only by `multiview.stages.train`.
"""
