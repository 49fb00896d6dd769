/* ---- camera of a page: orbit about eye.target; a page sets AXES (x, y, up), start and eye ---- */
const dot = (a, b) => a[0]*b[0] + a[1]*b[1] + a[2]*b[2];
const add = (a, b, s) => [a[0] + s*b[0], a[1] + s*b[1], a[2] + s*b[2]];
const cross = (a, b) => [a[1]*b[2]-a[2]*b[1], a[2]*b[0]-a[0]*b[2], a[0]*b[1]-a[1]*b[0]];
const unit = a => { const n = Math.sqrt(dot(a, a)) || 1; return [a[0]/n, a[1]/n, a[2]/n]; };
let eye, basis;
function look() {
  const c = Math.cos(eye.pitch), s = Math.sin(eye.pitch), [x, y, up] = AXES;
  const back = unit(add(add(add([0,0,0], x, c*Math.cos(eye.yaw)), y, c*Math.sin(eye.yaw)), up, s));
  const right = unit(cross(up, back));
  basis = {right, upward: cross(back, right), back, at: add(eye.target, back, eye.away)};
}
/* pixels of the canvas `view`, depth, and pixels a unit of length there; null behind the eye */
function project(x, y, z) {
  const d = [x - basis.at[0], y - basis.at[1], z - basis.at[2]], depth = -dot(d, basis.back);
  if (!(depth > 1e-6*D.distance)) return null;
  const s = 0.9*Math.min(view.width, view.height)/depth;
  return [view.width/2 + s*dot(d, basis.right), view.height/2 - s*dot(d, basis.upward), depth, s];
}
