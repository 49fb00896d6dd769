"""The few lines of script that turn the rig: lines on a canvas, orthographic, no library."""

__all__ = ["JS"]

JS = """
(function(){
var c=document.getElementById('rig3d');if(!c||!c.getContext)return;
var s=JSON.parse(document.getElementById('rig3d-data').textContent),g=c.getContext('2d');
var home=[-0.6,0.42,1],az=home[0],el=home[1],zoom=home[2],drag=null,live=false;
function view(p){
 var ca=Math.cos(az),sa=Math.sin(az),ce=Math.cos(el),se=Math.sin(el);
 var x=ca*p[0]-sa*p[1],y=sa*p[0]+ca*p[1];
 var k=zoom*Math.min(c.width,c.height)*0.5/s.radius;
 return [c.width/2+k*x,c.height/2-k*(se*y+ce*p[2]),ce*y-se*p[2]];
}
function path(points,closed){
 g.beginPath();
 points.forEach(function(p,i){var q=view(p);i?g.lineTo(q[0],q[1]):g.moveTo(q[0],q[1]);});
 if(closed)g.closePath();
}
function draw(){
 var d=window.devicePixelRatio||1,b=c.getBoundingClientRect();
 c.width=Math.round(b.width*d);c.height=Math.round(b.height*d);
 g.fillStyle='#f5f8fa';g.fillRect(0,0,c.width,c.height);g.lineJoin='round';
 g.lineWidth=d;g.strokeStyle='#e2e8ee';
 s.grid.forEach(function(l){path(l);g.stroke();});
 g.strokeStyle='rgba(31,111,178,.30)';g.fillStyle='rgba(31,111,178,.05)';
 s.boards.forEach(function(q){path(q,true);g.fill();g.stroke();});
 s.axes.forEach(function(a){g.strokeStyle=a.c;g.lineWidth=2*d;path(a.p);g.stroke();
  var q=view(a.p[1]);g.fillStyle=a.c;g.font=600+' '+11*d+'px system-ui,sans-serif';
  g.textAlign='center';g.fillText(a.n,q[0],q[1]-3*d);});
 s.cameras.map(function(m){return {m:m,q:view(m.o)};})
  .sort(function(a,b){return b.q[2]-a.q[2];}).forEach(function(e){
  var m=e.m,o=m.o;g.lineWidth=1.4*d;g.strokeStyle='#1b2733';g.fillStyle='rgba(27,39,51,.10)';
  path(m.f,true);g.fill();g.stroke();
  m.f.forEach(function(p){path([o,p]);g.stroke();});
  g.lineWidth=3*d;path([m.f[0],m.f[1]]);g.stroke();
  g.font=11.5*d+'px system-ui,sans-serif';g.textAlign='center';
  var up=e.q[1]<view(m.t)[1]?-7:15;
  g.lineWidth=3*d;g.strokeStyle='rgba(245,248,250,.9)';g.strokeText(m.n,e.q[0],e.q[1]+up*d);
  g.fillStyle='#1b2733';g.fillText(m.n,e.q[0],e.q[1]+up*d);});
}
function turn(dx,dy){az+=dx;el=Math.max(-1.57,Math.min(1.57,el+dy));draw();}
c.addEventListener('pointerdown',function(e){drag=[e.clientX,e.clientY];live=true;
 c.setPointerCapture(e.pointerId);});
c.addEventListener('pointermove',function(e){if(!drag)return;
 turn((e.clientX-drag[0])*.008,(e.clientY-drag[1])*.008);drag=[e.clientX,e.clientY];});
c.addEventListener('pointerup',function(){drag=null;});
c.addEventListener('pointercancel',function(){drag=null;});
c.addEventListener('pointerleave',function(){live=false;});
c.addEventListener('wheel',function(e){if(!live&&!e.ctrlKey)return;e.preventDefault();
 zoom=Math.max(.4,Math.min(12,zoom*Math.exp(-e.deltaY*.0015)));draw();},{passive:false});
c.addEventListener('dblclick',function(){az=home[0];el=home[1];zoom=home[2];draw();});
c.addEventListener('keydown',function(e){
 var k={ArrowLeft:[-.1,0],ArrowRight:[.1,0],ArrowUp:[0,-.1],ArrowDown:[0,.1]}[e.key];
 if(k){e.preventDefault();turn(k[0],k[1]);}});
window.addEventListener('resize',draw);draw();
})();
"""
